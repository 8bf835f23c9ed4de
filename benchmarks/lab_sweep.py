"""Chooses the lab study's DPO learning rate and beta on the validation split.

    python benchmarks/lab_sweep.py runs/quickstart

Runs the arms with AI feedback under every setting, each seed of the study, evaluated on
the validation prompts, which no other figure is read from. Stages that the quickstart
in that folder has done are reused. Writes benchmarks/results/lab_sweep.json.
"""

import itertools
import json
import os
import sys
from pathlib import Path

from rlaif_jax import log
from rlaif_jax.commands import study
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.quickstart import study_document
from rlaif_jax.config_file import validate
from rlaif_jax.lab.server import run_in_thread
from rlaif_jax.study.config import QuickstartConfig, StudyConfig

LEARNING_RATES = (1e-4, 3e-4, 1e-3)
BETAS = (0.1, 0.5)
RESULTS = Path(__file__).parent / "results" / "lab_sweep.json"


def main(folder: Path) -> None:
    """Runs the sweep and writes what every setting won."""
    out = folder.with_name(f"{folder.name}-sweep")  # the study's results stay its own
    out.mkdir(exist_ok=True)
    if not (out / "stages").exists():
        (out / "stages").symlink_to((folder / "stages").resolve())
    log.configure()
    os.environ.setdefault("JAX_PLATFORMS", "cpu")
    rows = []
    with run_in_thread() as url:
        for learning_rate, beta in itertools.product(LEARNING_RATES, BETAS):
            document = study_document(
                QuickstartConfig(), world=folder / "world", url=url
            )
            document["dpo"]["optimizer"]["learning_rate"] = learning_rate
            document["dpo"]["loss"] = {"beta": beta}
            document["evaluation"]["split"] = "validation"
            config = validate(StudyConfig, document)
            result = study.run(config, out, Console())
            rates = {
                name: arm["win_rate"]
                for name, arm in result["arms"].items()
                if "feedback" in name
            }
            rows.append({"learning_rate": learning_rate, "beta": beta, **rates})
            print(rows[-1])
    RESULTS.write_text(json.dumps({"split": "validation", "rows": rows}, indent=1))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
