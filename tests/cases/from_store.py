"""Makes a case of a run that a project's store remembers: what it read, its configuration, and what came of it.

    python3 tests/cases/from_store.py <store> <outcome's key> <name of the case>

What a case must say, and which keys it may read, is then narrowed by hand in its `case.toml`.
"""

import hashlib
import json
import pathlib
import sys

if len(sys.argv) != 4:
    sys.exit(__doc__)
store, key, name = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3]
outcome = json.loads((store / key).read_text())
run = json.loads((store / key.replace("outcomes/", "runs/", 1)).read_text())

keys = {outcome["trigger"]["key"]}
for read in run["reads"]:
    if read["kind"] == "object":
        keys.add(read["key"])
    elif read["kind"] == "listing":
        # What the stage wrote itself was not there yet.
        own = {output["key"] for output in outcome["outputs"]}
        found = (path.relative_to(store).as_posix() for path in (store / read["prefix"]).rglob("*") if path.is_file())
        keys.update(set(found) - own)

def then(key):
    """Its bytes as the run read them: an alias was moved since, and its history has what it was."""
    digests = {read["digest"] for read in run["reads"] if read["kind"] == "object" and read["key"] == key}
    candidates = [store / key, *sorted((store / key).with_suffix("").glob("*"))]
    for bytes in (path.read_bytes() for path in candidates):
        if not digests or hashlib.sha256(bytes).hexdigest() in digests:
            return bytes
    sys.exit(f"`{key}` is not what it was when the run read it")


case = pathlib.Path(__file__).parent / name
case.mkdir(exist_ok=True)
config = json.loads((store / "configs" / outcome["config"]).read_text())
(case / "config.json").write_text(json.dumps(config, indent=2) + "\n")
objects = []
for number, key in enumerate(sorted(keys)):
    file = f"{number}-{pathlib.PurePosixPath(key).name}"
    (case / file).write_bytes(then(key))
    objects.append(f"{json.dumps(key)} = {json.dumps(file)}")

resource = outcome["resource"]
looked = {read.get("key") or read["prefix"] for read in run["reads"]} - {outcome["trigger"]["key"]}
granted = sorted({"/".join(key.split("/")[:2]) + "/**" for key in looked})
written = sorted({output["key"].split("/")[0] for output in outcome["outputs"]})
lines = [
    "# A run of the chain in `parity_chain.rs`, by `from_store.py`.",
    f"stage = {json.dumps(outcome['stage'])}",
    f"resource = {json.dumps(resource)}",
    f"trigger = {json.dumps(outcome['trigger']['key'])}",
    f"config = {json.dumps(name + '/config.json')}",
    f"reads = {json.dumps(granted)}",
    f"writes = {json.dumps([f'{prefix}/{resource}/**' for prefix in written])}",
    f"decision = {json.dumps(outcome['decision'])}",
    f"says = {json.dumps([outcome['reason']])}",
    f"outputs = {json.dumps([f'{prefix}/{resource}/' for prefix in written])}",
    "",
    "[objects]",
    *objects,
]
(case / "case.toml").write_text("\n".join(lines) + "\n")
