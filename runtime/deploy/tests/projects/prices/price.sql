SELECT id, sold, area, district, price FROM sales
