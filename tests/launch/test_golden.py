"""What a dry run prints, word by word; `golden/` holds it.

After a change that is meant: GOLDEN=write python -m pytest tests/launch/test_golden.py
"""

import os
import sys
from pathlib import Path

import pytest

GOLDEN = Path(__file__).parent / "golden"
ARGUMENTS = (
    "dpo",
    "configs/dpo/mistral_7b.yaml",
    "it's {a: $b}",
    "--out",
    "/mnt/runs/dpo",
)
SECRETS = "OPENAI_API_KEY=judge"
RECIPES = {
    "gce_one_slice": (
        "tpu_watch.sh",
        {"TPU_TOPOLOGY": "v5e:4x8", "SECRETS": SECRETS, "TPU_PROJECT": "aif"},
    ),
    "gce_two_slices": (
        "tpu_watch.sh",
        {
            "TPU_TOPOLOGY": "v5p:4x4x4",
            "TPU_SLICES": "2",
            "TPU_PROVISIONING": "flex-start",
            "MAX_RUN_DURATION": "7d",
            "FORWARD": "LIBTPU_INIT_ARGS",
            "LIBTPU_INIT_ARGS": "--xla_a=1 --xla_b=2",
        },
    ),
    "gce_by_type": (
        "tpu_create.sh",
        {
            "TPU_TOPOLOGY": "",
            "TPU_TYPE": "v6e-16",
            "TPU_VERSION": "v2-alpha-tpuv6e",
            "TPU_PROVISIONING": "reserved",
            "TPU_CREATE_FLAGS": "--network=pods --service-account=trainer@aif",
        },
    ),
    "gce_logs": ("tpu_logs.sh", {}),
    "gke_two_slices": (
        "gke_run.sh",
        {
            "TPU_TOPOLOGY": "v6e:4x4",
            "TPU_SLICES": "2",
            "TPU_PROVISIONING": "spot",
            "VOLUME": "pvc:runs:/mnt/runs",
            "SECRETS": f"{SECRETS}:api-key",
            "NAMESPACE": "aif",
        },
    ),
    "gke_one_machine": ("gke_jobset.sh", {"TPU_TOPOLOGY": "v5e:2x4"}),
    "slurm_process_per_gpu": (
        "slurm.sh",
        {"NODES": "2", "GPUS_PER_NODE": "8", "PROCESSES": "gpu"},
    ),
    "slurm_process_per_node": (
        "slurm.sh",
        {
            "NODES": "4",
            "GPUS_PER_NODE": "4",
            "JAX_COORDINATOR_PORT": "9000",
            "PARTITION": "h100",
            "SBATCH_FLAGS": "--exclusive --mem=0",
        },
    ),
    "gpu_one_host": ("gpu_debug.sh", {"PYTHON": "python"}),
}


@pytest.mark.parametrize("name", RECIPES)
def test_a_dry_run_prints_the_recipe_and_runs_nothing(cloud, name):
    script, variables = RECIPES[name]
    arguments = () if script in ("tpu_create.sh", "tpu_logs.sh") else ARGUMENTS
    cloud.environment |= {"JOB_NAME": "aif", "IMAGE": "rlaif:1", "INSTALL": ""}
    done = cloud.run(script, *arguments, DRY_RUN="1", **variables)
    assert done.code == 0, done.output
    root = str(Path(__file__).parents[2])  # the interpreter may lie in it
    printed = done.output.replace(sys.executable, "PYTHON").replace(root, "CHECKOUT")
    path = GOLDEN / f"{name}.txt"
    if os.environ.get("GOLDEN") == "write":
        path.write_text(printed)
    assert printed == path.read_text()
    assert cloud.calls() == []
