"""Tests of `rlaif_jax.evaluation.delegated`."""

import gzip
import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.evaluation import delegated as module
from rlaif_jax.evaluation.annotations import read_rows
from rlaif_jax.evaluation.delegated import delegated, require_delegate
from rlaif_jax.evaluation.length_control import length_controlled

SHARED = Path(__file__).parents[3] / "shared" / "data" / "alpaca_eval"
REAL = SHARED / "claude.annotations.json.gz"
needs_package = pytest.mark.skipif(
    importlib.util.find_spec("alpaca_eval") is None, reason="alpaca_eval is missing"
)
needs_recorded = pytest.mark.skipif(
    not SHARED.is_dir(), reason="no recorded evaluations beside the repository"
)


@pytest.fixture
def found(monkeypatch):
    """Lets the package be found, whether it is installed or not."""
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: object())


def test_a_missing_package_is_named(monkeypatch):
    monkeypatch.setattr(module.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match="pip install alpaca-eval"):
        require_delegate([{"instruction": "Say hi."}])


def test_other_instructions_have_no_difficulty(found):
    with pytest.raises(UsageError, match="these 2 are others"):
        require_delegate([{"instruction": "Say hi."}, {}])


@needs_recorded
def test_the_recorded_instructions_are_alpaca_evals_in_their_order_only(found):
    rows = json.loads(gzip.decompress(REAL.read_bytes()))
    require_delegate(rows)
    with pytest.raises(UsageError, match="these 805 are others"):
        require_delegate(rows[::-1])


@needs_recorded
@needs_package
@pytest.mark.filterwarnings("ignore")
def test_the_package_is_asked_with_our_rows(monkeypatch, tmp_path):
    """On a made-up file of difficulties that are all 0, and gamed rows of no say."""
    from alpaca_eval.metrics import glm_winrate

    n = 805
    gamed = {
        "model": ["gamed"] * n,
        "index": range(n),
        "instruction_difficulty": np.zeros(n),
        "preference": np.full(n, 0.5),
        "std_delta_len": np.zeros(n),
        "not_gamed_baseline": [False] * n,
    }
    file = tmp_path / "df_gamed.csv"
    glm_winrate.pd.DataFrame(gamed).to_csv(file, index=False)
    monkeypatch.setattr(glm_winrate, "hf_hub_download", lambda **_: str(file))
    rows = read_rows(REAL)
    told = delegated(rows)
    ours = length_controlled(
        [row["preference"] - 1.0 for row in rows],
        [len(row["output_2"]) - len(row["output_1"]) for row in rows],
    )
    assert told.design == "length_controlled_v1"
    assert told.n_total == ours.n_total == 805
    assert told.win_rate == pytest.approx(ours.win_rate, abs=0.05)
    assert told.standard_error == pytest.approx(0.0, abs=1e-9)  # difficulties are equal


@needs_recorded
@needs_package
def test_a_file_that_cannot_be_had_is_told(monkeypatch):
    from alpaca_eval.metrics import glm_winrate

    def offline(**_):
        raise OSError("no route to host")

    monkeypatch.setattr(glm_winrate, "hf_hub_download", offline)
    with pytest.raises(UsageError, match="cannot get its difficulties"):
        delegated(read_rows(REAL))
