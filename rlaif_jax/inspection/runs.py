"""What a finished DPO run left behind: its config, models and metrics."""

from pathlib import Path
from typing import NamedTuple

from jax.sharding import Mesh

from rlaif_jax.checkpoint.weights import load_weights
from rlaif_jax.config_file import validate
from rlaif_jax.config_training import DpoConfig
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json, read_json_lines
from rlaif_jax.inspection.scorer import Model
from rlaif_jax.typing import Json


class DpoRun(NamedTuple):
    """A DPO run of a study, and what it read."""

    arm: str
    seed: int
    folder: Path  # of the policy
    reference: Path  # model folder that it started from
    preferences: Path  # shards that it was trained on
    config: DpoConfig


def find_dpo_run(study_folder: Path, *, arm: str | None = None) -> DpoRun:
    """The first DPO run of a study, or the first of one arm.

    Args:
      study_folder: That of `study` or `quickstart`, with its `study.json`. Paths in
        there are absolute, or relative to this folder.
      arm: Whose run; any, if None.

    Raises:
      UsageError: If there is no study, or no such run in it.
      CorruptDataError: If its files do not say what they should.
    """
    index = read_json(study_folder / "study.json", "study index")
    try:
        rows = index["stages"].get("dpo", [])
        found = [row for row in rows if arm is None or row["arm"] == arm]
        if not found:
            known = sorted({row["arm"] for row in rows})
            wanted = "no DPO run" if arm is None else f"no DPO run of arm {arm!r}"
            raise UsageError(f"{study_folder} has {wanted}, only of arms {known}")
        return _dpo_run(found[0], study_folder)
    except (AttributeError, KeyError, TypeError) as error:
        raise CorruptDataError(
            f"{study_folder / 'study.json'} is not a study index: {error!r}"
        ) from error


def load_model(
    folder: Path, mesh: Mesh, *, step: int | None = None, compute_dtype: str = "float32"
) -> Model:
    """A model folder's weights on the mesh.

    Args:
      folder: With `model.json` and checkpoints.
      mesh: Where they go.
      step: Its checkpoint; the selected or newest by default.
      compute_dtype: Of activations, as in the run that is inspected.

    Raises:
      UsageError: If there is no such folder or step.
      CorruptDataError: If the weights are damaged.
    """
    weights = load_weights(folder, step=step, mesh=mesh)
    # the run's own backend may not be on this machine
    config = weights.config.replace(compute_dtype=compute_dtype, attention="xla")
    return Model(config, weights.params)


def read_metrics(folder: Path) -> list[Json]:
    """The metrics of a run, one mapping a step.

    Raises:
      UsageError: If it has not written any.
      CorruptDataError: If a line does not parse.
    """
    lines = read_json_lines(folder / "metrics.jsonl", "training metrics")
    return [row for _, row in lines]


def _dpo_run(row: Json, study_folder: Path) -> DpoRun:
    folder = study_folder / row["folder"]  # an absolute path stays as it is
    document = read_json(folder / "config.json", "config of a DPO run")
    return DpoRun(
        arm=row["arm"],
        seed=row["seed"],
        folder=folder,
        reference=study_folder / row["reference"],
        preferences=study_folder / row["preferences"],
        config=validate(DpoConfig, document),
    )
