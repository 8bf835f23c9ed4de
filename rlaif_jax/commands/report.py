"""`report`: draws what studies found, from the results.json that each left."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_json
from rlaif_jax.study.config import ReportConfig
from rlaif_jax.study.joint import joint_groups
from rlaif_jax.study.report import write_report, write_side_by_side
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.results_file import FORMAT, read_results, summarize
from rlaif_jax.typing import Json

_FILE = "results.json"


def run(config: ReportConfig, out: Path, console: Console) -> Json:
    """Draws one study, or several on one page with a table of all their arms.

    Raises:
      UsageError: If a study is named twice, has left no results, or would be
        overwritten by the page of several.
      CorruptDataError: If results are damaged or of another version.
    """
    studies = {name: _read(path) for name, path in _names(config.studies).items()}
    console.say("drawing the report")
    if len(studies) == 1:
        (results,) = studies.values()
        return summarize(results, report=str(write_report(results, out)))
    _refuse_a_study(out / _FILE)
    report = str(write_side_by_side(studies, out))
    result: Json = {
        "studies": {
            name: summarize(results, report=report) for name, results in studies.items()
        },
        "compared": [list(group.studies) for group in joint_groups(studies)],
        "report": report,
    }
    write_json(out / _FILE, result | {"format": "several studies"})
    return result


def show(result: Json, out: Path) -> None:
    """Prints which studies can be compared, and where the page is."""
    del out
    for names in result.get("compared", ()):
        print(f"compared: {', '.join(names)}")
    print(f"report: {result['report']}")


def _read(path: Path) -> StudyResults:
    return read_results(path if path.is_file() else path / _FILE)


def _refuse_a_study(path: Path) -> None:
    """Makes sure that the page of several studies takes the place of none.

    Raises:
      UsageError: If there are results of a study at its path.
    """
    if path.is_file() and read_json(path, "results").get("format") == FORMAT:
        raise UsageError(
            f"{path} is of a study, and the page of several would overwrite it: give "
            "--out another folder"
        )


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
