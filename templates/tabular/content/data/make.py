"""Makes the days beside this file: `python3 make.py 6` makes six. From the fourth day on a heat wave shifts the temperature.

The same call gives the same bytes.
"""

import math
import random
import sys
from pathlib import Path


def day(number: int) -> str:
    chance = random.Random(number)
    lines = ["machine,at,site,temperature,vibration,age,fails"]
    for row in range(480):
        seconds = row * 180
        site = chance.choice(["north", "south", "west"])
        machine = 1 + row % 40
        age = machine % 15
        temperature = chance.gauss(60, 8) + (12 if number >= 4 else 0)
        vibration = abs(chance.gauss(4, 2))
        lean = (temperature - 62) / 8 + (vibration - 4) / 1.5 + (age - 7) / 6 + (1 if site == "west" else 0) - 1
        fails = int(chance.random() < 1 / (1 + math.exp(-1.6 * lean)))
        shown = "" if chance.random() < 0.04 else f"{temperature:.1f}"
        at = f"2024-01-{number:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:00Z"
        lines.append(f"{machine},{at},{site},{shown},{vibration:.2f},{age},{fails}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for number in range(1, int(sys.argv[1]) + 1):
        (Path(__file__).parent / f"day-{number}.csv").write_text(day(number))
