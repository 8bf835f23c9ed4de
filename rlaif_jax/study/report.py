"""The report of a study: one HTML file that needs nothing else."""

from collections.abc import Mapping
from pathlib import Path

import jinja2

from rlaif_jax.files import write_atomic
from rlaif_jax.pages import page_environment
from rlaif_jax.study import wording
from rlaif_jax.study.page import ROLES, StudyPage, study_page
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.results_file import write_results


def write_report(results: StudyResults, folder: Path) -> Path:
    """Writes report.html, figures/ and results.json of one study.

    Returns:
      The path of report.html.
    """
    write_results(folder / "results.json", results)
    page = study_page(results, name="", figures=folder / "figures")
    return _write_html([page], results.title, folder)


def write_side_by_side(studies: Mapping[str, StudyResults], folder: Path) -> Path:
    """Writes one report.html of several studies, and figures/NAME/ of each.

    Args:
      studies: Each under a name that tells it from the others.
      folder: Where to write.

    Returns:
      The path of report.html.
    """
    pages = [
        study_page(results, name=name, figures=folder / "figures" / str(number))
        for number, (name, results) in enumerate(studies.items(), start=1)
    ]
    return _write_html(pages, f"{len(pages)} studies side by side", folder)


def _write_html(pages: list[StudyPage], title: str, folder: Path) -> Path:
    template = _environment().get_template("report.html")
    arms = list(dict.fromkeys(arm for page in pages for arm in page.rates))
    path = folder / "report.html"
    write_atomic(path, template.render(title=title, pages=pages, arms=arms))
    return path


def _environment() -> jinja2.Environment:
    """The template, with what it writes figures with."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "points": wording.points,
        "usd": wording.usd,
        "duration": wording.duration,
        "measure_name": wording.measure_name,
    }
    environment.globals |= {
        "interval": wording.interval,
        "measure_value": wording.measure_value,
        "roles": ROLES,
    }
    return environment
