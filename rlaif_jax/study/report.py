"""The report of a study: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import jinja2

from rlaif_jax.files import write_atomic
from rlaif_jax.pages import page_environment
from rlaif_jax.study import wording
from rlaif_jax.study.joint import joint_groups, obstacles
from rlaif_jax.study.page import ROLES, StudyPage, joint_page, study_page
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.results_file import write_results
from rlaif_jax.study.rewards import REWARDS

_MANY_ARMS = 6  # columns that a table has room for bars in
_MOST_ACROSS = 45  # pairs of unlike arms that a page has room for, folded


def write_report(
    results: StudyResults, folder: Path, *, drawn_from: Sequence[str] = ()
) -> Path:
    """Writes report.html, figures/ and results.json of one study.

    Args:
      results: The study.
      folder: Where to write.
      drawn_from: The files that the results were read from, if they were.

    Returns:
      The path of report.html.
    """
    write_results(folder / "results.json", results, drawn_from=drawn_from)
    page = study_page(results, name="", figures=folder / "figures")
    return _write_html([page], results.title, folder)


def write_side_by_side(studies: Mapping[str, StudyResults], folder: Path) -> Path:
    """Writes one report.html of several studies, and figures/NUMBER/ of each.

    Studies with the same prompts, baseline and evaluator are compared in one table;
    of others the page says what sets them apart.

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
    joined = [group for group in joint_groups(studies) if len(group.studies) > 1]
    groups = [
        joint_page(group, folder / "figures" / f"joint_{number}")
        for number, group in enumerate(joined, start=1)
    ]
    first = next(iter(studies.values()))
    apart = {
        name: reasons
        for name, results in studies.items()
        if (reasons := obstacles(first, results))
    }
    title = f"{len(pages)} studies side by side"
    return _write_html(pages, title, folder, groups=groups, apart=apart)


def _write_html(
    pages: list[StudyPage], title: str, folder: Path, **joint: object
) -> Path:
    template = _environment().get_template("report.html")
    path = folder / "report.html"
    write_atomic(path, template.render(title=title, pages=pages, **joint))
    return path


def _environment() -> jinja2.Environment:
    """The template, with what it writes figures with."""
    environment = page_environment(Path(__file__).parent)
    environment.filters |= {
        "points": wording.points,
        "usd": wording.usd,
        "flops": wording.flops,
        "duration": wording.duration,
        "measure_name": wording.measure_name,
        "number": wording.number,
        "p_value": wording.p_value,
    }
    environment.globals |= {
        "many_arms": _MANY_ARMS,
        "most_across": _MOST_ACROSS,
        "reward_names": REWARDS,
        "interval": wording.interval,
        "measure_value": wording.measure_value,
        "roles": ROLES,
    }
    return environment
