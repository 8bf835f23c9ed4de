"""What README.md tells a newcomer to paste runs as it stands there."""

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture
def walk():
    """The shell lines of the section that walks through the commands."""
    text = (ROOT / "README.md").read_text().partition("## Piece by piece")[2]
    return text.partition("```sh\n")[2].partition("```")[0]


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return str(probe.getsockname()[1])


def test_the_walk_through_the_commands(walk, tmp_path):
    (tmp_path / "configs").symlink_to(ROOT / "configs")
    assert "rlaif-jax lab &" in walk
    port = free_port()  # the default may be taken here
    walk = walk.replace("8765", port).replace("lab &", f"lab port={port} &")
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        [
            "bash",
            "-euo",
            "pipefail",
            "-c",
            f"trap 'kill $(jobs -p) || true' EXIT\n{walk}",
        ],
        cwd=tmp_path,
        env=os.environ | {"PATH": path, "JAX_PLATFORMS": "cpu"},
        stderr=subprocess.PIPE,
        text=True,
        timeout=600,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    result = json.loads((tmp_path / "runs/walk/win_rate/win_rate.json").read_text())
    assert result["n_total"] == 500
    metrics = tmp_path / "runs/walk/dpo/metrics.jsonl"
    assert len(metrics.read_text().splitlines()) == 20
