"""results.json: the one file that a study leaves and a report is drawn from."""

import json
from collections.abc import Sequence
from pathlib import Path

import pydantic

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import read_json, write_atomic
from rlaif_jax.study.results import SecondOpinion, StudyResults
from rlaif_jax.typing import Json

FORMAT = 1  # of results.json
DRAWN_FROM = "drawn_from"  # its key for the files that `report` read


def summarize(
    results: StudyResults,
    *,
    report: str,
    opinions: Sequence[SecondOpinion] | None = None,
) -> Json:
    """The figures of a study as `--json` prints them.

    Args:
      results: The study.
      report: Where its report is.
      opinions: Its second opinions, which take long; None: to be worked out.
    """
    bills = results.bills()
    if opinions is None:
        opinions = results.second_opinions()
    return {
        "arms": {
            name: {
                "win_rate": rate.value,
                "standard_error": rate.standard_error,
                "n": rate.n_prompts,
                "cost_usd": bills[name].all_roles.cost_usd,
                "prompts": results.arms[name].prompts,
                "making_usd": bills[name].making_usd,
                "training_flops": bills[name].flops,
                "seeds": rate.n_seeds,
            }
            for name, rate in results.win_rates().items()
        },
        "differences": [
            {
                "a": pair.a,
                "b": pair.b,
                "difference": pair.estimate.value,
                "low": pair.estimate.low,
                "high": pair.estimate.high,
                "adjusted_p_value": pair.adjusted_p_value,
                "power": pair.power.model_dump(),
                "across": list(pair.across),
            }
            for pair in results.differences()
        ],
        "second_opinions": [one.model_dump() for one in opinions],
        "claims": {
            name: str(result.verdict)
            for name, result in results.claim_results().items()
        },
        "cost_usd": results.total().all_roles.cost_usd,
        "seconds": results.seconds,
        "report": report,
    }


def write_results(
    path: Path,
    results: StudyResults,
    *,
    opinions: Sequence[SecondOpinion] | None = None,
    drawn_from: Sequence[str] = (),
) -> Json:
    """Writes results.json: the summary, and under `study` all it follows from.

    Args:
      path: Of the file.
      results: The study.
      opinions: As in `summarize`.
      drawn_from: The files that these were read from, if they were.

    Returns:
      The summary.
    """
    report = str(path.with_name("report.html"))
    summary = summarize(results, report=report, opinions=opinions)
    source = {DRAWN_FROM: list(drawn_from)} if drawn_from else {}
    study = results.model_dump(mode="json")
    document = {"format": FORMAT, **summary, **source, "study": study}
    write_atomic(path, json.dumps(document, indent=1) + "\n")  # arms keep their order
    return summary


def read_results(path: Path) -> StudyResults:
    """Reads the measurements of a results.json; its summary follows from them.

    Raises:
      UsageError: If there is no such file.
      CorruptDataError: If it is of another format, or something in it is wrong.
    """
    document = read_json(path, "results of a study")
    if document.get("format") != FORMAT:
        raise CorruptDataError(
            f"{path} has format {document.get('format')!r}, not {FORMAT}: it was not "
            "written by this version's `study` or `quickstart`"
        )
    try:
        return StudyResults.model_validate(document.get("study"))
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, ("study", *first["loc"])))
        raise CorruptDataError(f"{path}: {where}: {first['msg']}") from error
