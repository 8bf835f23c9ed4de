"""`report`: draws what studies found, from the results.json that each left."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.study.config import ReportConfig
from rlaif_jax.study.joint import joint_groups
from rlaif_jax.study.report import write_report, write_side_by_side
from rlaif_jax.study.results_file import DRAWN_FROM, read_results
from rlaif_jax.typing import Json

_FILE = "results.json"
_PAGE = "report.html"


def run(config: ReportConfig, out: Path, console: Console) -> Json:
    """Draws one study, or several on one page with a table of all their arms.

    Raises:
      UsageError: If a study is named twice, has left no results, or the page would
        take the place of something else.
      CorruptDataError: If results are damaged or of another version.
    """
    files = {name: _file(path) for name, path in _names(config.studies).items()}
    studies = {name: read_results(path) for name, path in files.items()}
    sources = sorted(str(path.resolve()) for path in files.values())
    if sources == [str((out / _FILE).resolve())]:  # its own folder
        sources = _drawn_from(out / _FILE)
    else:
        _refuse_what_is_not_theirs(out, sources)
    console.say("drawing the report")
    if len(studies) == 1:
        (results,) = studies.values()
        return write_report(results, out, drawn_from=sources).summaries[""]
    kept = {"format": "several studies", DRAWN_FROM: sources}
    write_json(out / _FILE, kept)  # whose page it is, if this is killed
    drawn = write_side_by_side(studies, out)
    result: Json = {
        "studies": drawn.summaries,
        "compared": [list(group.studies) for group in joint_groups(studies)],
        "report": str(drawn.page),
    }
    write_json(out / _FILE, result | kept)
    return result


def show(result: Json, out: Path) -> None:
    """Prints which studies can be compared, and where the page is."""
    del out
    for names in result.get("compared", ()):
        print(f"compared: {', '.join(names)}")
    print(f"report: {result['report']}")


def _file(path: Path) -> Path:
    return path if path.is_file() else path / _FILE


def _refuse_what_is_not_theirs(out: Path, sources: list[str]) -> None:
    """Makes sure that a page takes the place of none but that of the same studies.

    Args:
      out: Where the page is to be.
      sources: The files that the studies were read from.

    Raises:
      UsageError: If a study, or a page of other studies, is there.
    """
    found = [out / name for name in (_FILE, _PAGE) if (out / name).exists()]
    if found and _drawn_from(out / _FILE) != sources:
        raise UsageError(
            f"{found[0]} is of another study or page, and this one would overwrite it: "
            "give --out another folder"
        )


def _drawn_from(path: Path) -> list[str]:
    """The results that a page was drawn from; none of a study, or of anything else."""
    try:
        return read_json(path, "results").get(DRAWN_FROM, [])
    except (UsageError, CorruptDataError):
        return []


def _names(paths: tuple[Path, ...]) -> dict[str, Path]:
    """A name for each study: its folder's, or all of the path where two are alike.

    Raises:
      UsageError: If one path is given twice.
    """
    folders = [path.parent if path.name == _FILE else path for path in paths]
    if len({folder.resolve() for folder in folders}) < len(folders):
        raise UsageError("a study is named twice: name each once")
    short = [folder.resolve().name for folder in folders]
    is_told = len(set(short)) == len(short)
    return dict(zip(short if is_told else map(str, folders), paths, strict=True))
