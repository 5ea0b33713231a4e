"""Training beside scikit-learn's HistGradientBoostingClassifier, on the same rows. Called by `cargo xtask bench train`.

Two comparisons. One trains on January to March of the committed flights, with the split and the encoding made here, so that it needs
no run of the demo and its time is that of training alone. The other, if the demo has run, takes the first champion's own slices from
its store: scikit-learn trains on train and stop together, of which it keeps a tenth of the rows to stop with.
"""

import hashlib
import json
import subprocess
import sys
import tempfile
import time
import tomllib
from pathlib import Path

import numpy as np
import pandas as pd
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.metrics import roc_auc_score

ROOT = Path(__file__).parents[2]
FLIGHTS = ROOT / "templates/flights"
TEXTS = ["airline", "origin", "dest"]
NUMBERS = "hour minute weekday distance seats plane_year temp dewp humid wind_dir wind_speed wind_gust precip pressure visib".split()
ALLOWED = 0.005


def peer(train: pd.DataFrame, test: pd.DataFrame, label: str, features: list[str]) -> tuple[float, float]:
    """AUC on test, and seconds of fitting. Texts are categories to it, not numbers."""
    texts = [f for f in features if not pd.api.types.is_numeric_dtype(train[f])]
    codes = {f: {v: i for i, v in enumerate(sorted(train[f].dropna().unique()))} for f in texts}

    def matrix(rows: pd.DataFrame) -> np.ndarray:
        columns = [rows[f].map(codes[f]) if f in codes else rows[f] for f in features]
        return np.column_stack([c.to_numpy(dtype="float64", na_value=np.nan) for c in columns])

    model = HistGradientBoostingClassifier(random_state=7, categorical_features=[f in codes for f in features])
    inputs, wanted = matrix(train), train[label].astype(int)
    start = time.perf_counter()
    model.fit(inputs, wanted)
    seconds = time.perf_counter() - start
    return roc_auc_score(test[label].astype(int), model.predict_proba(matrix(test))[:, 1]), seconds


def quarter() -> tuple[pd.DataFrame, pd.DataFrame, pd.DataFrame]:
    """January to March: train, stop and holdout, whole days by hash."""
    rows = pd.concat([pd.read_parquet(FLIGHTS / f"data/2013-{month:02}.parquet") for month in (1, 2, 3)], ignore_index=True)
    rows = rows[rows["arr_delay"].notna()].copy()
    rows["late"] = (rows["arr_delay"] > 15).astype(int)
    days = rows["scheduled_departure"].dt.strftime("%Y-%m-%d")
    share = days.map({day: int(hashlib.sha256(day.encode()).hexdigest()[:8], 16) / 2**32 for day in days.unique()})
    features = tomllib.loads((FLIGHTS / "content/tidemill.toml").read_text())["features"]["late"]
    holdout = features["holdout"]["share"]
    stop = holdout + (1 - holdout) * features["validation-share"]
    return rows[share >= stop], rows[(share >= holdout) & (share < stop)], rows[share < holdout]


def ours(train_bench: str, train: pd.DataFrame, stop: pd.DataFrame, test: pd.DataFrame) -> tuple[float, float]:
    """The same, by our trainer with the template's settings; texts as the smoothed mean of the label."""
    mean = train["late"].mean()
    codes = {}
    for text in TEXTS:
        groups = train.groupby(text)["late"].agg(["sum", "count"])
        codes[text] = (groups["sum"] + 20 * mean) / (groups["count"] + 20)
    trainer = tomllib.loads((FLIGHTS / "content/tidemill.toml").read_text())["model"]["late"]["trainer"]
    with tempfile.TemporaryDirectory() as folder:
        paths = []
        for name, rows in (("train", train), ("stop", stop), ("test", test)):
            columns = [rows[n].to_numpy(dtype="float32", na_value=np.nan) for n in NUMBERS]
            columns += [rows[t].map(codes[t]).fillna(mean).to_numpy(dtype="float32") for t in TEXTS]
            table = np.column_stack([*columns, rows["late"].to_numpy(dtype="float32")]).astype("<f4")
            paths.append(str(Path(folder) / name))
            # A row's length stands first, the label counted.
            Path(paths[-1]).write_bytes(np.uint32(table.shape[1]).astype("<u4").tobytes() + table.tobytes())
        said = subprocess.run([train_bench, *paths, json.dumps(trainer)], check=True, stdout=subprocess.PIPE, text=True).stdout
    answer = json.loads(said.strip().splitlines()[-1])
    return answer["auc"], answer["seconds"]


def report(what: str, rows: int, mine: float, theirs: float, seconds: str) -> bool:
    holds = mine >= theirs - ALLOWED
    print(f"{what}, {rows} rows: AUC {mine:.4f}, scikit-learn {theirs:.4f} ({mine - theirs:+.4f}, at most -{ALLOWED} allowed){seconds}")
    return holds


def main(store: Path, train_bench: str) -> int:
    train, stop, test = quarter()
    mine, seconds = ours(train_bench, train, stop, test)
    theirs, peer_seconds = peer(pd.concat([train, stop]), test, "late", NUMBERS + TEXTS)
    speed = f"; {len(train) / seconds:,.0f} rows/s, scikit-learn {len(train) / peer_seconds:,.0f} (each with its own number of rounds)"
    holds = report("January to March", len(train), mine, theirs, speed)

    version = store / "models/late/versions/1.json"
    if not version.is_file():
        print("the demo's first champion: not there; `cargo xtask demo` makes it")
        return 0 if holds else 1
    version = json.loads(version.read_text())
    slices = json.loads((store / version["evaluation"]).read_text())["training"]["features"]
    train, stop, test = (pd.read_parquet(store / slices[name]) for name in ("train", "stop", "holdout"))
    features = [column["name"] for column in version["signature"]["inputs"]]
    theirs, _ = peer(pd.concat([train, stop]), test, slices["label"], features)
    return 0 if report("the demo's first champion", len(train), version["metrics"]["auc"], theirs, "") and holds else 1


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), sys.argv[2]))
