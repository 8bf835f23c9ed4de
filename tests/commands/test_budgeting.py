"""Tests of `rlaif_jax.commands.budgeting`: nobody is asked and nothing is trained."""

import re

import pytest

from rlaif_jax.commands.budgeting import making_usd, within_budget
from rlaif_jax.commands.console import Console
from rlaif_jax.commands.forecasting import expect
from rlaif_jax.config_file import validate
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

QUIET = Console(quiet=True)
FLOPS = {"match": "device_flops", "flops": 1e13}
USD = {"match": "usd", "usd": 0.05}


@pytest.fixture
def decided(recorded_study):
    """Makes what the budget buys each arm in a study with some changes."""
    config, _, stages, out = recorded_study

    def make(**changes):
        document = config.model_dump(mode="json") | changes
        cut = within_budget(validate(StudyConfig, document), stages, out, QUIET)
        sizes = {name: (arm.at_most, arm.max_steps) for name, arm in cut.arms.items()}
        return sizes, (out / "budget.json").read_bytes()

    return config.model_dump(mode="json"), make


@pytest.mark.parametrize("budget", [FLOPS, USD])
def test_what_makes_no_arm_leaves_a_decided_budget_as_it_is(decided, budget):
    document, make = decided
    before = make(budget=budget)
    other = document["evaluation"]
    other = other | {"evaluator": other["evaluator"] | {"model": "another"}}
    forecast = document["forecast"] | {"flops_per_s": 1e9, "imitation": 0.1}
    assert make(budget=budget, forecast=forecast) == before
    assert make(budget=budget, seeds=[0, 1]) == before
    assert make(budget=budget, evaluation=other) == before


def test_a_budget_is_decided_again_where_its_amount_or_a_price_is_another(decided):
    document, make = decided
    sizes, _ = make(budget=USD)
    assert any(most for most, _ in sizes.values())  # it cut
    critics = {
        name: one | {"usd_per_million_input_tokens": 0.001}
        for name, one in document["critics"].items()
    }
    cheap, _ = make(budget=USD, critics=critics)
    assert cheap != sizes
    assert make(budget=USD | {"usd": 0.08})[0] != sizes


def test_the_texts_that_choose_a_checkpoint_are_in_the_price_and_are_not_cut(
    recorded_study,
):
    config, _, stages, out = recorded_study
    document = config.model_dump(mode="json") | {"forecast": {}}
    document["teachers"]["weak"] = {
        "api": "openai",
        "base_url": "http://127.0.0.1:9/v1",  # nobody is asked
        "model": "weak",
        "max_tokens": 32,
        "usd_per_million_input_tokens": 1,
        "usd_per_million_output_tokens": 2,
    }
    document["sft"]["validation"] = {"splits": ["validation"], "every_steps": 5}
    document["arms"] = {"SFT weak": document["arms"]["SFT weak"]}

    def price(one):
        arms = build_graph(one)
        expected = expect(one, arms, stages, out, QUIET)
        assert arms[0].teacher is not None
        return making_usd(one, arms[0], expected), expected.spend(arms[0].teacher)

    whole, texts = price(validate(StudyConfig, document))
    assert texts.calls == 40 + 10  # held out: 10
    assert whole == pytest.approx(texts.cost_usd)
    budget = {"match": "usd", "usd": 0.6 * whole}
    changed = validate(StudyConfig, document | {"budget": budget})
    cut = within_budget(changed, stages, out, QUIET)
    made, texts = price(cut)
    assert texts.calls == sum(cut.arms["SFT weak"].at_most.values()) + 10
    assert 0.5 * whole < made <= 0.61 * whole  # prompts differ a little in length


@pytest.fixture
def borrowing(recorded_study):
    """An arm that borrows labels, and its source: each with a teacher that is paid."""
    config, _, stages, out = recorded_study
    document = config.model_dump(mode="json") | {"forecast": {}}
    for name, price in (("weak", 1), ("strong", 40)):
        document["teachers"][name] = {
            "api": "openai",
            "base_url": "http://127.0.0.1:9/v1",  # nobody is asked
            "model": name,
            "max_tokens": 32,
            "usd_per_million_input_tokens": 1,
            "usd_per_million_output_tokens": price,
        }
    arms = document["arms"]
    borrower = arms["borrower"] | {"teacher": "strong"}
    source = borrower["pairs_of"]
    document["arms"] = {"borrower": borrower, source: arms[source]}

    def prices(**changes):
        one = validate(StudyConfig, document | changes)
        cut = within_budget(one, stages, out, QUIET)
        graph = build_graph(cut)
        expected = expect(cut, graph, stages, out, QUIET)
        return cut, [making_usd(cut, arm, expected) for arm in graph]

    return prices, source


def test_borrowed_labels_count_against_the_borrowers_own_budget(borrowing):
    prices, source = borrowing
    _, (whole, lent) = prices()
    budget = lent + 0.5 * (whole - lent)
    cut, (borrower, again) = prices(budget={"match": "usd", "usd": budget})
    assert again == pytest.approx(lent)  # which the budget buys whole
    assert cut.arms[source].at_most == {}
    assert cut.arms["borrower"].at_most == {"sft": 8}  # half of 16
    assert borrower == pytest.approx(budget, rel=0.01)  # prompts differ in length


def test_an_arm_whose_borrowed_labels_alone_pass_the_budget_is_refused(borrowing):
    prices, source = borrowing
    _, (_, lent) = prices()
    with pytest.raises(UsageError, match=f"for the labels of '{re.escape(source)}'"):
        prices(budget={"match": "usd", "usd": 0.5 * lent})
