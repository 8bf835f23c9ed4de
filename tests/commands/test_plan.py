"""Tests of `plan` and its parts in `rlaif_jax.commands`, with CPUs in place of TPUs."""

import os
import subprocess
import sys
from pathlib import Path

import jax
import pytest

from rlaif_jax.commands import plan
from rlaif_jax.commands.plan_case import Case
from rlaif_jax.commands.plan_result import step_counts
from rlaif_jax.commands.workload import Assumed, Workload, num_steps
from rlaif_jax.config_file import validate
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.config_training import DpoConfig, RewardConfig, SftConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.planning.gpus import gpu_topology
from rlaif_jax.sharding.mesh import build_mesh

DOCUMENT = {
    "model": {"path": "nowhere"},
    "optimizer": {"name": "rmsprop", "learning_rate": 1e-6},
    "batch_size": 8,
}
ASSUMED = Assumed("llama-tiny", "float32", 16, 16, None)


@pytest.fixture(scope="module")
def mesh():
    devices = build_mesh(MeshConfig(), jax.devices()[:8])
    with jax.set_mesh(devices):
        yield devices


def steps(mesh, kind, assumed=ASSUMED, **changes):
    """The steps of a run on eight CPUs, traced and not compiled."""
    keys = {"prompts": "p", "completions": "c"} if kind is SftConfig else {}
    keys = keys or {"preferences": "p"}
    config = validate(kind, DOCUMENT | keys | changes)
    return list(Workload.of(config, assumed, mesh).steps())


def test_sft_and_reward_are_one_step_and_dpo_is_two(mesh):
    assert [one.demand.name for one in steps(mesh, SftConfig)] == ["train"]
    assert [one.demand.name for one in steps(mesh, RewardConfig)] == ["train"]
    train, reference = (one.demand for one in steps(mesh, DpoConfig))
    assert (train.name, reference.name) == ("train", "reference")
    assert train.flops == 3 * reference.flops
    assert train.executed_flops == train.flops
    assert train.tokens == 8 * 48
    (free,) = steps(mesh, DpoConfig, loss={"name": "simpo"})
    assert free.demand.flops == train.flops


def test_a_padded_layout_has_every_prompt_twice(mesh):
    packed, padded = (
        steps(mesh, DpoConfig, rows={"layout": layout})[0].demand
        for layout in ("packed", "padded")
    )
    assert (packed.tokens, padded.tokens) == (8 * 48, 8 * 64)
    assert padded.flops > packed.flops


def test_adapters_leave_the_weights_in_their_own_dtype(mesh):
    lora = {"rank": 4}
    single, half = (
        steps(mesh, DpoConfig, ASSUMED._replace(param_dtype=dtype), lora=lora)
        for dtype in ("float32", "bfloat16")
    )

    def dtypes(step):
        return {str(leaf.dtype) for leaf in jax.tree.leaves(step.lowered.in_avals)}

    assert "bfloat16" not in dtypes(single[0])
    assert "bfloat16" in dtypes(half[0])
    assert single[0].demand.flops < steps(mesh, DpoConfig)[0].demand.flops


def test_a_schedule_with_a_warm_up_needs_no_count(mesh):
    schedule = {"schedule": "linear", "warmup_steps": 150}
    optimizer = {"name": "adamw", "learning_rate": 1e-6} | schedule
    assert steps(mesh, SftConfig, optimizer=optimizer)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"batch_size": 12}, "cannot be split"),
        ({"tokens": {"max_prompt_tokens": 8}}, "16 [+] 16 tokens"),
        ({"lora": {"targets": ["gate"]}, "model": {"path": "x"}}, None),
        (
            {"lora": {}, "model": {"preset": "llama-tiny", "tokenizer": "x"}},
            "lora trains adapters of weights that a folder holds",
        ),
    ],
)
def test_what_the_run_refuses_is_refused(mesh, changes, told):
    if told is None:
        assert steps(mesh, DpoConfig, **changes)
        return
    with pytest.raises(UsageError, match=told):
        steps(mesh, DpoConfig, **changes)


def test_steps_are_those_that_the_run_takes():
    config = validate(SftConfig, DOCUMENT | {"prompts": "p", "completions": "c"})
    assert num_steps(config.model_copy(update={"epochs": 3}), 20) == 7  # no seam
    assert num_steps(config.model_copy(update={"max_steps": 2}), 100) == 2
    with pytest.raises(UsageError, match="examples=7 do not fill one batch of 8"):
        num_steps(config, 7)


def test_a_sweep_trains_at_every_rate_and_scores_once():
    config = validate(
        DpoConfig,
        DOCUMENT
        | {"preferences": "p", "sweep": {"learning_rates": [1e-6, 2e-6, 3e-6]}}
        | {"validation": {"shards": 1, "select": "loss"}, "epochs": 2},
    )
    settings = PlanConfig(topology="h100:8")
    case = Case(config, settings, gpu_topology("h100:8", None))
    assert step_counts(case, 20) == {"train": 15, "reference": 3}


def shown(capsys, **changes):
    step = {
        "name": "train",
        "by": "compiler",
        "fits": True,
        "bytes_per_chip": 3 * 2**30,
        "argument_bytes": 2**30,
        "temporary_bytes": 2**30,
        "host_bytes": 0,
        "flops": 2e12,
        "executed_flops": 3e12,
        "memory_traffic": 5e9,
        "flops_per_byte": 75.0,
        "collective_bytes": {"all-gather": 10**9},
        "compute_s": 0.5,
        "memory_s": 0.25,
        "link_s": 0.125,
        "network_s": 0.0,
        "least_seconds": 0.5,
        "serial_seconds": 0.875,
        "mfu_bound": 0.4,
        "tokens": 1000,
        "compile_s": 3.0,
        "host_peak_bytes": 2**30,
        "whole": [(2**27, "all-gather of the head")],
    }
    other = {"collective_bytes": {"all-to-all": 2 * 10**9}, "name": "reference"}
    result = {
        "verb": "dpo",
        "topology": "v5e:4x4",
        "by": "compiler",
        "margin": 0.0,
        "chips": 16,
        "hbm_bytes_per_chip": 16 * 2**30,
        "fits": True,
        "steps": [step, step | {"whole": []} | other],
        "run": {"steps": 12, "hours": [1.0, 1.75], "usd": [10.0, 17.5]},
    }
    plan.show(result | changes, Path("out"))
    return capsys.readouterr().out


def test_the_table_has_a_column_a_step(capsys):
    text = shown(capsys)
    rows = {line[:34].strip(): line[34:].split() for line in text.splitlines()}
    assert rows["GiB a chip"] == ["3.00", "3.00"]
    assert rows["all-gather"] == ["1.00", "-"]
    assert rows["all-to-all"] == ["-", "2.00"]
    assert rows["MFU at most"] == ["40.0%", "40.0%"]
    assert rows["tokens/s at most"] == ["2,000", "2,000"]
    assert "train: 128 MiB on every chip: all-gather of the head" in text
    assert "12 steps: 1.00 to 1.75 hours, 10.00 to 17.50 USD" in text
    assert text.splitlines()[-2:] == ["it fits", "out/plan.json"]


def test_what_no_compiler_has_said_is_told_so(capsys):
    text = shown(capsys, by="model", margin=0.1)
    assert "it fits, by the model of docs/plan.md: no compiler has said so" in text


def test_of_a_step_that_does_not_fit_little_is_told(capsys):
    step = {"name": "train", "fits": False, "bytes_per_chip": 43 * 2**30}
    step |= {"flops": 2e12, "executed_flops": 3e12, "whole": []}
    text = shown(capsys, steps=[step], fits=False, run=None)
    assert "43.00" in text and "ms" not in text
    assert "it does not fit" in text


PROGRAM = """
import sys
from rlaif_jax.cli import run
code = run(["plan", *sys.argv[1:]])
import jax
print(jax.config.jax_platforms, sorted(jax._src.xla_bridge.backends()), file=sys.stderr)
sys.exit(code)
"""


def test_a_plan_of_gpus_takes_none_of_this_machine(tmp_path):
    environment = {k: v for k, v in os.environ.items() if k != "JAX_PLATFORMS"}
    arguments = [
        *("topology=h100:16", "architecture=pythia-70m"),
        *("model={path: nowhere}", "preferences=nowhere", "batch_size=64"),
        *("optimizer={name: rmsprop, learning_rate: 5e-7}", "examples=1000"),
        *("--out", str(tmp_path / "plan")),
    ]
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, *arguments],
        cwd=Path(__file__).parents[2],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stderr.splitlines()[-1] == "cpu ['cpu']"
