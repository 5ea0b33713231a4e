-- Known before departure: schedule, carrier, airports, aircraft, and the weather of the hour before.
-- Not here: dep_*, arr_time and air_time, which leak, and month and day, with which every month would drift by definition.
SELECT
    time_hour,
    carrier,
    flight,
    scheduled_departure,
    airline,
    origin,
    dest,
    hour,
    minute,
    weekday,
    distance,
    seats,
    plane_year,
    temp,
    dewp,
    humid,
    wind_dir,
    wind_speed,
    wind_gust,
    precip,
    pressure,
    visib,
    arr_delay > 15 AS late
FROM flights
