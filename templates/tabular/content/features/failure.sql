-- What is known when the model is asked, and the truth. `fails` alone leaks.
SELECT machine, "at", site, temperature, vibration, age, fails FROM readings
