-- The model's columns in its order, and the truth.
SELECT machine, "at", temperature, vibration, age, fails FROM readings
