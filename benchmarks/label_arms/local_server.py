"""Starts `server.py` as a process of its own, and asks it what it has seen."""

import json
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from server import Behaviour

SCRIPT = Path(__file__).with_name("server.py")
TIMEOUT_S = 60.0


class LocalServer:
    """A server that runs.

    Attributes:
      url: Of Anthropic's format; OpenAI's is below `/v1`.
    """

    def __init__(self, port: int):
        self.url = f"http://127.0.0.1:{port}"

    def stats(self) -> dict[str, Any]:
        """Its counts so far, and its processor time in seconds."""
        return self._told("stats")

    def log(self) -> list[list[Any]]:
        """Every call that has ended: question, attempt, fault, begin, end."""
        return self._told("log")

    def _told(self, name: str) -> Any:
        with urllib.request.urlopen(f"{self.url}/{name}", timeout=TIMEOUT_S) as answer:
            return json.loads(answer.read())


@contextmanager
def local_server(behaviour: Behaviour) -> Iterator[LocalServer]:
    """A server that ends with the block, or with this process."""
    with subprocess.Popen(
        [sys.executable, str(SCRIPT), json.dumps(asdict(behaviour))],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            yield LocalServer(int(process.stdout.readline()))
        finally:
            process.stdin.close()
            process.wait(TIMEOUT_S)
