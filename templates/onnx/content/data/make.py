"""Makes the days beside this file: `python3 make.py 3` makes three. The same call gives the same bytes."""

import math
import random
import sys
from pathlib import Path


def day(number: int) -> str:
    chance = random.Random(number)
    lines = ["machine,at,temperature,vibration,age,fails"]
    for row in range(480):
        seconds = row * 180
        machine = 1 + row % 40
        age = machine % 15
        temperature, vibration = chance.gauss(60, 8), abs(chance.gauss(4, 2))
        lean = (temperature - 60) / 8 + (vibration - 4) / 1.5 + (age - 7) / 6
        fails = int(chance.random() < 1 / (1 + math.exp(-1.6 * lean)))
        at = f"2024-01-{number:02}T{seconds // 3600:02}:{seconds // 60 % 60:02}:00Z"
        lines.append(f"{machine},{at},{temperature:.1f},{vibration:.2f},{age},{fails}")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    for number in range(1, int(sys.argv[1]) + 1):
        (Path(__file__).parent / f"day-{number}.csv").write_text(day(number))
