"""`plan --search`: the fastest mesh, remat and microbatches that fit."""

import itertools
from collections.abc import Iterator
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from rlaif_jax.commands.plan_case import Case, Say, compiled, modelled
from rlaif_jax.commands.plan_result import result_of
from rlaif_jax.commands.workload import architecture
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_file import validate
from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.planning.estimate import Estimate
from rlaif_jax.planning.modelled import MARGINS
from rlaif_jax.provenance import installed_version
from rlaif_jax.records import content_hash
from rlaif_jax.typing import Json

_AXES = ("data", "fsdp", "tensor", "expert")  # that are tried; others stay as they are
_REMATS = ("none", "dots", "attention", "full")
_GIB = 2**30


@dataclass
class Candidate:
    """A way to run it, and what became of it.

    Attributes:
      changes: Of the run's config, by dotted key.
      found: What its steps take, by the model or by the compiler; none if the run
        would refuse it.
      dropped: Why it is out; None if it is not.
    """

    changes: dict[str, Any]
    found: list[Estimate]
    dropped: str | None = None

    @property
    def seconds(self) -> float:
        """Of a step, in the middle of its bounds."""
        return (self.found[0].least_seconds + self.found[0].serial_seconds) / 2

    @property
    def bytes_per_chip(self) -> int:
        """Of the step that takes the most."""
        return max(one.bytes_per_chip for one in self.found)

    @property
    def overrides(self) -> list[str]:
        """Its changes, to be pasted behind the run's command."""
        return [f"{key}={value}" for key, value in self.changes.items()]

    def to_json(self) -> Json:
        """What `plan.json` holds of it."""
        told: Json = {"overrides": self.overrides, "dropped": self.dropped}
        if not self.found:
            return told
        first = self.found[0]
        return told | {
            "by": first.by,
            "bytes_per_chip": self.bytes_per_chip,
            "seconds": [first.least_seconds, first.serial_seconds],
        }


def searched(case: Case, out: Path, say: Say) -> Json:
    """The result of the best candidate, with all of them.

    Candidates that the run would refuse, or that clearly do not fit by the model, are
    dropped; the rest is ranked by time. For TPUs the first are compiled, at least until
    one fits, and ranked by what the compiler says. Each is kept when it is done: the
    same command again does not compile it a second time.

    Args:
      case: The run that is varied.
      out: The plan's folder.
      say: What is told of the progress.
    """
    candidates = [_judged(case, changes) for changes in _changes(case)]
    say(f"{len(candidates)} candidates by the model")
    ranked = sorted(_kept(candidates), key=lambda one: one.seconds)
    if case.topology.platform == "tpu":
        ranked = _compiled(case, ranked, out, say)
    else:
        _drop_unlikely(case, ranked)
    order = [*_kept(ranked), *(one for one in candidates if one.dropped is not None)]
    listed = {"candidates": [one.to_json() for one in order]}
    if not _kept(ranked):
        return _nothing(case) | listed
    best = _kept(ranked)[0]
    varied = _varied(case, best.changes)
    return result_of(varied, best.found) | listed | {"overrides": best.overrides}


def _kept(candidates: list[Candidate]) -> list[Candidate]:
    return [one for one in candidates if one.dropped is None]


def _changes(case: Case) -> Iterator[dict[str, Any]]:
    """Every combination of a mesh, a remat and a number of microbatches."""
    run = case.run
    for mesh in _meshes(case):
        if isinstance(run, SampleConfig):
            yield mesh
            continue
        parts = [2**n for n in range(run.batch_size.bit_length())]
        divisors = [number for number in parts if run.batch_size % number == 0]
        for remat, number in itertools.product(_REMATS, divisors):
            yield mesh | {"model.remat": remat, "microbatches": number}


def _meshes(case: Case) -> Iterator[dict[str, Any]]:
    """Every shape of the mesh; a model without experts has none to divide."""
    experts = architecture(case.run.model, case.assumed).num_experts or 1
    sizes = case.run.mesh.model_dump()
    others = [size for name, size in sizes.items() if name not in _AXES]
    fixed = 1
    for size in others:
        fixed *= size if isinstance(size, int) and size > 0 else 1
    left = len(case.topology.devices) // fixed
    divisors = [number for number in range(1, left + 1) if left % number == 0]
    for tensor, expert, data in itertools.product(divisors, repeat=3):
        inner = tensor * expert * data
        if left % inner == 0 and experts % expert == 0:
            shape = (data, left // inner, tensor, expert)
            yield {f"mesh.{axis}": n for axis, n in zip(_AXES, shape, strict=True)}


def _varied(case: Case, changes: dict[str, Any]) -> Case:
    """The case with other values at dotted keys."""
    document = case.run.model_dump()
    for key, value in changes.items():
        *parents, name = key.split(".")
        inner = document
        for parent in parents:
            inner = inner[parent]
        inner[name] = value
    return case._replace(run=validate(type(case.run), document))


def _judged(case: Case, changes: dict[str, Any]) -> Candidate:
    """A candidate as the model sees it."""
    try:
        found = modelled(_varied(case, changes))
    except UsageError as error:
        return Candidate(changes, [], f"refused: {error}")
    candidate = Candidate(changes, found)
    least = (1 - MARGINS[case.topology.platform]) * candidate.bytes_per_chip
    if least > case.topology.memory:
        candidate.dropped = _too_large(case, candidate)
    return candidate


def _drop_unlikely(case: Case, ranked: list[Candidate]) -> None:
    """Where no compiler decides, what the model says does not fit is out."""
    for one in ranked:
        if not all(step.fits for step in one.found):
            one.dropped = _too_large(case, one)


def _too_large(case: Case, candidate: Candidate) -> str:
    limit, size = case.topology.memory / _GIB, candidate.bytes_per_chip / _GIB
    by = candidate.found[0].by
    return f"takes {size:.1f} of {limit:.1f} GiB by the {by}"


def _compiled(
    case: Case, ranked: list[Candidate], out: Path, say: Say
) -> list[Candidate]:
    """The first few by the compiler, the fastest first; the others are dropped."""
    done: list[Candidate] = []
    for number, one in enumerate(ranked):
        if number >= case.config.search_compiles and _kept(done):
            one.dropped = "slower by the model than those that were compiled"
            continue
        say(f"candidate {number + 1}: {' '.join(one.overrides)}")
        done.append(one)
        try:
            one.found = _once(_varied(case, one.changes), out / "compiled", say)
        except InternalError as error:  # of one program; others may be read
            one.dropped = f"compiled, and what it moves is not known: {error}"
            continue
        if not all(step.fits for step in one.found):
            one.dropped = _too_large(case, one)
    return sorted(_kept(done), key=lambda one: one.seconds) + [
        one for one in ranked if one.dropped is not None
    ]


def _once(case: Case, folder: Path, say: Say) -> list[Estimate]:
    """What the compiler says, now or in an earlier search of this folder."""
    told = case.config.model_dump(mode="json", exclude={"run", "search_compiles"})
    versions = [installed_version(name) for name in ("jax", "libtpu")]
    path = folder / f"{content_hash([told, case.run.model_dump_json(), versions])}.json"
    if path.is_file():
        names = {field.name for field in fields(Estimate)}
        steps = read_json(path, "compiled candidate")["steps"]
        return [Estimate(**{k: v for k, v in x.items() if k in names}) for x in steps]
    found = compiled(case, say)
    chip, chips = case.topology.chip, len(case.topology.devices)
    write_json(path, {"steps": [one.to_json(chip, chips) for one in found]})
    return found


def _nothing(case: Case) -> Json:
    """The result if nothing fits."""
    return {
        "verb": case.config.planned,
        "topology": case.topology.name,
        "chips": len(case.topology.devices),
        "bytes_per_chip": None,
        "hbm_bytes_per_chip": int(case.topology.memory),
        "fits": False,
        "flops": None,
        "collective_bytes": None,
        "step_seconds": None,
        "steps": [],
        "run": None,
        "overrides": [],
    }
