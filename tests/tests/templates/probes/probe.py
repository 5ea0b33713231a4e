"""Tries what it was granted and what it was not, and says what it was told. With `careless` it does not catch what it is told."""

import json
import os
import random
import socket
import time

import wit_world
from componentize_py_types import Err
from wit_world.imports import fetch, objects, run_context
from wit_world.imports.types import Decision, Outcome, Trigger


def told(action) -> str:
    try:
        return f"allowed: {action()}"
    except Err as error:
        return f"{error.value.kind.name.lower()}: {error.value.message}"
    except Exception as error:
        return f"{type(error).__name__}: {error}"


class WitWorld(wit_world.WitWorld):
    def run(self, trigger: Trigger, config: str) -> Outcome:
        config = json.loads(config)
        own = config["own"]
        tries = {
            "read": lambda: objects.get("secrets/key"),
            "head": lambda: objects.head("secrets/key"),
            "range": lambda: objects.get_range("secrets/key", 0, 1),
            "list": lambda: objects.list("secrets/", None, 10),
            "write": lambda: objects.create("secrets/made", b"x"),
            "swap": lambda: objects.swap("secrets/key", None, b"x"),
            "fetch": lambda: fetch.get(f"http://{config['elsewhere']}/", []).status,
        }
        if "careless" in config:
            tries[config["careless"]]()
            return Outcome(Decision.DONE, "nobody stopped it", [], "{}", None)
        # The outcome of the stage before names what that wrote; both were granted.
        summary = json.loads(objects.get(trigger.key))["result"]["summary"]
        result = {name: told(action) for name, action in tries.items()}
        host, port = config["granted"].split(":")
        result |= {
            "rows": json.loads(objects.get(summary))["rows"],
            "fetch-granted": told(lambda: fetch.get(f"http://{config['granted']}/", []).body.decode()),
            "socket": told(lambda: socket.socket(socket.AF_INET, socket.SOCK_STREAM).connect((host, int(port)))),
            "name": told(lambda: socket.getaddrinfo(b"localhost", 80)),
            "file": told(lambda: open("/etc/passwd").read()),
            "folder": told(lambda: os.listdir("/")),
            "environment": dict(os.environ),
            "clock": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "as-of": run_context.get().as_of,
            "chance": random.SystemRandom().randrange(1 << 32),
        }
        objects.create(f"{own}/{run_context.get().run_key}.json", json.dumps(result).encode())
        return Outcome(Decision.DONE, "tried", [], json.dumps(result), None)
