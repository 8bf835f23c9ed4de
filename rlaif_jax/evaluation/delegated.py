"""AlpacaEval's length-controlled win rate, computed by the installed package."""

import importlib
import importlib.util
import warnings
from collections.abc import Sequence

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation.length_control import LengthControlled
from rlaif_jax.records import content_hash
from rlaif_jax.typing import Json

_DESIGN = "length_controlled_v1"
_METRICS = "alpaca_eval.metrics.glm_winrate"
_ORDER = "f82acae862e921be2cea7be56bb5d7e0"  # of AlpacaEval's 805 instructions


def delegated(annotations: Sequence[Json]) -> LengthControlled:
    """What `alpaca_eval` itself says of annotations of its 805 instructions.

    Its design takes an instruction's difficulty by the row's number, and two gamed
    baselines, both from a file that it downloads once (`df_gamed.csv` of
    huggingface.co/datasets/tatsu-lab/alpaca_eval).

    Args:
      annotations: Rows as in `export.annotation_rows`.

    Raises:
      UsageError: As `require_delegate`, or if the file cannot be had.
    """
    require_delegate(annotations)
    return _computed(annotations)


def require_delegate(rows: Sequence[Json]) -> None:
    """Makes sure that the package is there, and that it knows the instructions.

    Args:
      rows: With an `instruction` each, in order.

    Raises:
      UsageError: If it is missing, or the rows are others or in another order.
    """
    if importlib.util.find_spec("alpaca_eval") is None:
        raise UsageError(
            "length_control=alpaca_eval needs the package: pip install alpaca-eval"
            " scikit-learn, or set length_control=minimal"
        )
    if instructions_hash([row.get("instruction") for row in rows]) != _ORDER:
        raise UsageError(
            "length_control=alpaca_eval takes AlpacaEval's 805 instructions in their"
            f" order, and these {len(rows)} are others: its difficulties go by the"
            " row's number; set length_control=minimal"
        )


def instructions_hash(instructions: Sequence[str | None]) -> str:
    """A hash of texts, in order."""
    return content_hash("instructions", list(instructions))


def _computed(annotations: Sequence[Json]) -> LengthControlled:
    """What the package says, without the weights that it would store inside itself."""
    pandas = importlib.import_module("pandas")
    metrics = importlib.import_module(_METRICS)
    table = pandas.DataFrame(list(annotations))
    table["index"] = range(len(table))
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # scikit-learn's, of what it will change
            told = metrics.get_length_controlled_winrate(
                table, glm_name=_DESIGN, save_weights_dir=None
            )
    except OSError as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"alpaca_eval cannot get its difficulties ({reason}): connect once, or set"
            " length_control=minimal"
        ) from error
    return LengthControlled(
        design=_DESIGN,
        win_rate=float(told["length_controlled_winrate"]),
        standard_error=float(told["lc_standard_error"]),
        n_total=int(told["n_total"]),
    )
