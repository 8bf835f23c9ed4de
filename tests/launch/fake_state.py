"""What the fake `gcloud` and the fake `kubectl` keep in the folder FAKE."""

import contextlib
import fcntl
import json
import os

FAKE = os.environ["FAKE"]


@contextlib.contextmanager
def state():
    """The state, under a lock; changes are kept."""
    with open(f"{FAKE}/lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        with open(f"{FAKE}/state.json") as file:
            document = json.load(file)
        try:
            yield document
        finally:
            with open(f"{FAKE}/state.part", "w") as file:
                json.dump(document, file)
            os.replace(f"{FAKE}/state.part", f"{FAKE}/state.json")
