"""Sums up JSON lines: how often each field is there, and the least, greatest and mean number in it.

Tidemill calls `run`. `tidemill.toml` grants what it may read and write. The clock is the data's, and randomness comes from the run's seed,
so that the same object gives the same outcome each time.
"""

import json

import wit_world
from wit_world.imports import objects, run_context
from wit_world.imports.types import Decision, Finding, Outcome, Severity, Trigger


class WitWorld(wit_world.WitWorld):
    def run(self, trigger: Trigger, config: str) -> Outcome:
        # An error of the host (no such object, no grant) that is not caught becomes the stage's error.
        text = objects.get(trigger.key).decode("utf-8", errors="replace")
        summary, wrong = summarise(text, json.loads(config).get("ignore", []))
        if wrong:
            # Bad data is an outcome, not an error.
            findings = [Finding("json", trigger.key, Severity.ERROR, message, 1) for message in wrong]
            return Outcome(Decision.REJECTED, f"{len(wrong)} lines are no JSON objects", findings, "{}", None)
        # Named by the run's key, so that a run which is repeated after a crash writes the same object again.
        key = f"{{project-name | kebab_case}}/{run_context.get().run_key}.json"
        objects.create(key, (json.dumps(summary, indent=2) + "\n").encode())
        result = json.dumps({"rows": summary["rows"], "summary": key})
        return Outcome(Decision.DONE, f"summed up {summary['rows']} rows", [], result, None)


def summarise(text: str, ignore: list[str]) -> tuple[dict, list[str]]:
    """The summary, and a message for each line that is no JSON object."""
    rows, wrong, values = 0, [], {}
    for number, line in enumerate(text.splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except ValueError:
            row = None
        if not isinstance(row, dict):
            wrong.append(f"line {number} is no JSON object: `{line[:40]}`")
            continue
        rows += 1
        for name, value in row.items():
            if name not in ignore and value is not None:
                values.setdefault(name, []).append(value)
    fields = {name: {"there": len(values[name]), **numbers(values[name])} for name in sorted(values)}
    return {"rows": rows, "fields": fields}, wrong


def numbers(values: list) -> dict:
    """Least, greatest and mean; nothing where a value is no number."""
    if not all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in values):
        return {}
    return {"least": min(values), "greatest": max(values), "mean": sum(values) / len(values)}
