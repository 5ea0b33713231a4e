"""The stage over a store in memory. The types (Outcome, Finding, …) are those of the bindings; only the host is replaced."""

import json
import unittest
from unittest import mock

import summary
from wit_world.imports import objects, run_context
from wit_world.imports.run_context import Context
from wit_world.imports.types import Decision, Trigger


class TestSummary(unittest.TestCase):
    def run_over(self, text: str):
        store = {"raw/events/a.jsonl": text.encode()}
        context = Context("2024-01-01T00:00:00Z", 7, "0" * 32, "test")
        with (
            mock.patch.object(objects, "get", store.__getitem__),
            mock.patch.object(objects, "create", store.__setitem__),
            mock.patch.object(run_context, "get", lambda: context),
        ):
            outcome = summary.WitWorld().run(Trigger("raw/events/a.jsonl", "0" * 64), '{"ignore": ["id"]}')
        del store["raw/events/a.jsonl"]
        return outcome, store

    def test_lines_are_summed_up(self):
        outcome, store = self.run_over('{"id": 1, "level": 2}\n\n{"id": 2, "level": 4.0, "site": "north"}\n')
        self.assertEqual(outcome.decision, Decision.DONE)
        [written] = store.values()
        level = {"there": 2, "least": 2, "greatest": 4.0, "mean": 3.0}
        self.assertEqual(json.loads(written), {"rows": 2, "fields": {"level": level, "site": {"there": 1}}})
        self.assertEqual(json.loads(outcome.result)["summary"], next(iter(store)))

    def test_a_bad_line_is_a_finding_and_nothing_is_written(self):
        outcome, store = self.run_over('{"level": 2}\nno json\n[1]\n')
        self.assertEqual((outcome.decision, len(outcome.findings), store), (Decision.REJECTED, 2, {}))
        self.assertIn("line 2", outcome.findings[0].message)


if __name__ == "__main__":
    unittest.main()
