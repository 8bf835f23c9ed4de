"""Two real `jax.distributed` processes train as one does."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def pod(rlaif, tmp_path):
    def run(verb, document, out):
        script = str(ROOT / "launch" / "local_pod.sh")
        config = str(rlaif.config(document))
        done = subprocess.run(
            ["bash", script, "2", verb, config, "--out", str(out)],
            cwd=ROOT,
            env=os.environ | {"PYTHON": sys.executable, "LOGS": str(tmp_path / "logs")},
            capture_output=True,
            text=True,
            timeout=180,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return out

    return run


def test_sft_and_dpo(pod, study, dpo_alone, tmp_path, losses):
    sft = pod("sft", study.sft(), tmp_path / "sft")
    assert losses(sft) == pytest.approx(losses(study.base), rel=1e-5)
    dpo = pod("dpo", study.dpo(), tmp_path / "dpo")
    assert losses(dpo) == pytest.approx(losses(dpo_alone), rel=1e-5)
