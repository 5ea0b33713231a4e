SELECT id, at, level, alarm FROM readings
