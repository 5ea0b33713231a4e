"""How `model.onnx` was made: a forest of scikit-learn's, trained on the first day, in the shape that Tidemill takes.

    pip install scikit-learn==1.9.1 skl2onnx==1.20.0
    python3 export.py model.onnx

Of your own model keep `adapt`. What it must become: one input `features`, f32 [rows, columns], the columns in the order of the features'
SQL less label, key and time; first an output `scores`, f32 [rows, classes], the classes ascending (for regression [rows, 1]).
"""

import csv
import sys
from pathlib import Path

import numpy
from skl2onnx import to_onnx
from sklearn.ensemble import RandomForestClassifier

COLUMNS = ["temperature", "vibration", "age"]


def adapt(model, scores: str):
    """Renames the only input to `features`, and makes `scores` the only output."""
    graph = model.graph
    names = {graph.input[0].name: "features", scores: "scores"}
    for value in [*graph.input, *graph.output]:
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
    kept = [output for output in graph.output if output.name == "scores"]
    del graph.output[:]
    graph.output.extend(kept)
    return model


def main(to: str) -> None:
    rows = list(csv.DictReader(open(Path(__file__).parent / "data/day-1.csv")))
    features = numpy.array([[float(row[name]) for name in COLUMNS] for row in rows], dtype=numpy.float32)
    fails = numpy.array([int(row["fails"]) for row in rows])
    forest = RandomForestClassifier(n_estimators=20, max_depth=4, random_state=7).fit(features, fails)
    model = to_onnx(forest, features[:1], options={"zipmap": False}, target_opset={"": 17, "ai.onnx.ml": 3})
    Path(to).write_bytes(adapt(model, "probabilities").SerializeToString())


if __name__ == "__main__":
    main(sys.argv[1])
