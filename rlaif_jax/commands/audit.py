"""`audit`: what a critic's labels say about the critic, and a page to browse them."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from rlaif_jax.commands.canaries import FILE_NAME as CANARIES
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.inputs import file_comparisons, is_usable, read_prompts
from rlaif_jax.config import AuditConfig, LabelConfig
from rlaif_jax.config_endpoints import asked_critics
from rlaif_jax.config_file import validate
from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, read_records, write_json
from rlaif_jax.labeling.audit import Audit, audit, lines
from rlaif_jax.labeling.audit_page import write_audit_page
from rlaif_jax.labeling.calls import read_calls
from rlaif_jax.labeling.judged import (
    Judged,
    judged_files,
    judged_labels,
    preferences,
)
from rlaif_jax.labeling.meanings import MEANINGS, written
from rlaif_jax.labeling.planting import Canary
from rlaif_jax.provenance import write_run_info
from rlaif_jax.records import Label
from rlaif_jax.typing import Json
from rlaif_jax.visible import visible

_ANNOTATIONS = ("*.annotations.json", "*.annotations.json.gz")
_FILE_NOTES = (
    "From annotation files: they hold a verdict a comparison and no reply. Which output"
    " was shown first follows from the instruction by AlpacaEval's rule (seed 0): of a"
    " file that was made in another way, P(first shown) means nothing.",
    "A row without a preference is counted as unparsable: the files do not tell a"
    " refusal from an answer that was no verdict. About equal outputs without a price"
    " nobody was asked: AlpacaEval writes a draw by itself.",
)
_RECORDED_NOTES = (
    "These labels were replayed from a recorded file: the order in which the"
    " completions had been shown is not known.",
)
_JURY_NOTES = (
    "Votes or jurors decided: the verdict of each order is what most of them said, and"
    " replies and latencies, of which there are several a verdict, are left out.",
)


class Labels(NamedTuple):
    """What is audited, and how to read it."""

    judged: list[Judged]
    comparisons: int
    notes: Sequence[str] = ()
    canaries: Sequence[Canary] = ()


def run(config: AuditConfig, out: Path, console: Console) -> Json:
    """Counts everything, then writes audit.json and the page."""
    labels = _read(config.labels)
    other = (
        None if config.against is None else preferences(_read(config.against).judged)
    )
    console.say(f"auditing {len(labels.judged)} labels")
    found = audit(
        labels.judged,
        comparisons=labels.comparisons,
        other=other,
        own=config.own,
        canaries=labels.canaries,
        notes=labels.notes,
    )
    write_run_info(out, config)
    result: Json = found.model_dump(mode="json")
    write_json(out / "audit.json", result)
    write_audit_page(out / "audit.html", found, labels.judged, other=other)
    return result | {"page": str(out / "audit.html")}


def _read(path: Path) -> Labels:
    """The labels of a run of `label`, of an annotation file, or of a folder of these.

    Raises:
      UsageError: If it is none of them.
      CorruptDataError: If what is there is damaged.
    """
    if path.is_file():
        return _of_files([path])
    if (path / "config.json").is_file():
        document = read_json(path / "config.json", "config of a run")
        return run_labels(path, validate(LabelConfig, document))
    files = sorted(file for pattern in _ANNOTATIONS for file in path.glob(pattern))
    if not files:
        raise UsageError(
            f"no labels at {path}: give a run folder of `label`, an AlpacaEval"
            f" annotation file, or a folder of {_ANNOTATIONS[0]}(.gz)"
        )
    return _of_files(files)


def _of_files(files: list[Path]) -> Labels:
    judged = judged_files(files)
    return Labels(judged, len(judged), _FILE_NOTES)


def run_labels(folder: Path, config: LabelConfig) -> Labels:
    """The sealed labels of a run, finished or not, beside what was compared.

    Args:
      folder: The run's.
      config: The run's, with its inputs where they are now.

    Raises:
      CommandError: If inputs or labels are missing or damaged.
    """
    manifest = read_manifest(folder)
    prompts = read_prompts(config.prompts, config.splits)
    comparisons = [
        one
        for one in file_comparisons(
            prompts, config.first, config.second, *config.others
        )
        if is_usable(one.first) and is_usable(one.second)
    ]
    labels = [
        label
        for block in range(len(manifest.entries))
        for label in read_records(folder / "labels" / f"{block:06d}.jsonl", Label)
    ]
    is_asked = bool(asked_critics(config.critic))
    is_jury = any(label.jurors for label in labels)
    judged = judged_labels(
        comparisons,
        labels,
        calls=read_calls(folder / "ledger.jsonl"),
        orders=config.orders if is_asked else None,
    )
    notes = (() if is_asked else _RECORDED_NOTES) + (_JURY_NOTES if is_jury else ())
    planted = folder / CANARIES
    canaries = list(read_records(planted, Canary)) if planted.is_file() else []
    return Labels(judged, len(comparisons), notes, canaries)


def show(result: Json, out: Path) -> None:
    """Prints every figure with its interval, and where the page is."""
    page = result["page"]
    found = Audit.model_validate({k: v for k, v in result.items() if k != "page"})
    critics = ", ".join(map(visible, found.critics))
    print(f"{found.labels} labels of {found.comparisons} comparisons by {critics}")
    for note in found.notes:
        print(note)
    rows = [
        (
            line.title,
            written(line.unit, line.measure.value),
            f"{written(line.unit, line.measure.low)} to"
            f" {written(line.unit, line.measure.high)}",
            f"{line.measure.n:,}",
        )
        for line in lines(found)
    ]
    _print_table(("", "value", "95 % interval", "of"), rows)
    _print_table(
        ("generator", "won", "95 % interval", "of"),
        [
            (
                visible(one.name) + (" (own)" if one.is_own else ""),
                written("share", one.won.value),
                f"{written('share', one.won.low)} to {written('share', one.won.high)}",
                f"{one.won.n:,}",
            )
            for one in found.generators
            if one.won is not None
        ],
    )
    print()
    for name, reason in found.absent.items():
        print(f"not known: {MEANINGS[name].title}: {reason}")
    print(f"page: {page}")


def _print_table(head: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    """Columns as wide as they must be, the first to the left."""
    if not rows:
        return
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    print()
    for row in (head, *rows):
        cells = [
            cell.rjust(width) if place else cell.ljust(width)
            for place, (cell, width) in enumerate(zip(row, widths, strict=True))
        ]
        print("  ".join(cells).rstrip())
