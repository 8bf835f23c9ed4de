"""The report of a study: one HTML file that needs nothing else."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import jinja2

from rlaif_jax.files import write_atomic
from rlaif_jax.pages import page_environment
from rlaif_jax.study import wording
from rlaif_jax.study.joint import joint_groups, obstacles
from rlaif_jax.study.page import ROLES, StudyPage, joint_page, study_page
from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.results_file import summarize, write_results
from rlaif_jax.study.rewards import REWARDS
from rlaif_jax.typing import Json

_MANY_ARMS = 6  # columns that a table has room for bars in
_MOST_ACROSS = 45  # pairs of unlike arms that a page has room for, folded


class Drawn(NamedTuple):
    """A report.html, and the summary of each study on it by the study's name."""

    page: Path
    summaries: dict[str, Json]


def write_report(
    results: StudyResults, folder: Path, *, drawn_from: Sequence[str] = ()
) -> Drawn:
    """Writes report.html, figures/ and results.json of one study.

    Args:
      results: The study.
      folder: Where to write.
      drawn_from: The files that the results were read from, if they were.

    Returns:
      The page of a study without a name.
    """
    opinions = results.second_opinions()
    summary = write_results(
        folder / "results.json", results, opinions=opinions, drawn_from=drawn_from
    )
    page = study_page(results, opinions, name="", figures=folder / "figures")
    return Drawn(_write_html([page], results.title, folder), {"": summary})


def write_side_by_side(studies: Mapping[str, StudyResults], folder: Path) -> Drawn:
    """Writes one report.html of several studies, and figures/NUMBER/ of each.

    Studies with the same prompts, baseline and evaluator are compared in one table;
    of others the page says what sets them apart.

    Args:
      studies: Each under a name that tells it from the others.
      folder: Where to write.
    """
    opinions = {name: results.second_opinions() for name, results in studies.items()}
    pages = [
        study_page(
            results, opinions[name], name=name, figures=folder / "figures" / str(number)
        )
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
    path = _write_html(pages, title, folder, groups=groups, apart=apart)
    return Drawn(
        path,
        {
            name: summarize(results, report=str(path), opinions=opinions[name])
            for name, results in studies.items()
        },
    )


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
