"""Tests of `rlaif_jax.labeling.jury`, with scripted jurors and with a real server."""

from dataclasses import dataclass

import pytest

from rlaif_jax.labeling.critic import ChatCritic, Critic
from rlaif_jax.labeling.jury import Jury, majority
from rlaif_jax.labeling.session import Endpoint, open_asker, open_askers
from rlaif_jax.records import Label, Usage, Verdict

pytestmark = pytest.mark.anyio

F, S, T, N = Verdict.FIRST, Verdict.SECOND, Verdict.TIE, Verdict.FAILED
P = {F: 1.0, S: 0.0, T: 0.5, N: None}
ORDERS = {F: "first,first", S: "second,second", T: "first,second", N: "failed"}


@dataclass
class Juror:
    """Always says the same."""

    verdict: Verdict
    state: str = "labeled"
    p_first: float | None = None
    name: str = "one"
    template_hash: str = "t"
    asked: int = 0

    def questions(self, comparison):
        yield from ()

    async def judge(self, comparison):
        self.asked += 1
        p_first = P[self.verdict] if self.p_first is None else self.p_first
        return Label(
            pair_id=comparison.pair_id,
            verdict=self.verdict,
            p_first=p_first,
            verdict_both_orders=ORDERS[self.verdict],
            state=self.state,
            critic=self.name,
            critic_returned_model=f"{self.name}-2026",
            template_hash=self.template_hash,
            usage=Usage(prompt_tokens=10, completion_tokens=1),
            cost_usd=0.5,
            calls=2,
        )


def jury(*jurors):
    return Jury(critics=jurors)


@pytest.mark.parametrize(
    ("verdicts", "expected", "p_first"),
    [
        ([F, F, S], F, 2 / 3),
        ([S, F, S], S, 1 / 3),
        ([F, S], T, 0.5),
        ([F, T], T, 0.75),  # one of two is not more than half
        ([F, T, T], T, 2 / 3),
        ([F, S, T], T, 0.5),
        ([F, F, S, S], T, 0.5),
        ([F, F, F, S], F, 0.75),
        ([T, T], T, 0.5),
    ],
)
async def test_more_than_half_decide(comparison, verdicts, expected, p_first):
    label = await jury(*map(Juror, verdicts)).judge(comparison())
    assert (label.verdict, label.state) == (expected, "labeled")
    assert label.p_first == pytest.approx(p_first)
    assert [one.verdict for one in label.jurors] == verdicts


async def test_a_majority_that_the_mean_contradicts_is_a_tie(comparison):
    jurors = [Juror(F, p_first=0.51), Juror(F, p_first=0.51), Juror(S, p_first=0.0)]
    label = await jury(*jurors).judge(comparison())
    assert label.verdict is T and label.p_first == pytest.approx(0.34)
    assert majority(label.jurors[:2]) is F


@pytest.mark.parametrize("state", ["unparsable", "refused", "too_long"])
async def test_a_juror_without_verdict_does_not_count(comparison, state):
    label = await jury(Juror(N, state), Juror(S), Juror(S)).judge(comparison())
    assert (label.verdict, label.p_first, label.state) == (S, 0.0, "labeled")
    label = await jury(Juror(N, state), Juror(N, "refused")).judge(comparison())
    assert (label.verdict, label.p_first, label.state) == (N, None, state)
    assert label.cost_usd == 1.0 and label.verdict_both_orders == ""


async def test_a_juror_without_answer_leaves_the_comparison_to_a_later_run(comparison):
    last = Juror(F)
    label = await jury(Juror(F), Juror(N, "failed"), last).judge(comparison())
    assert (label.verdict, label.p_first, label.state) == (N, None, "failed")
    assert last.asked == 0 and label.calls == 4
    unparsable = Juror(N, "unparsable")
    label = await jury(unparsable, Juror(N, "failed")).judge(comparison())
    assert label.state == "failed"


async def test_a_jurys_label_adds_its_jurors_up(comparison):
    one, other = Juror(F), Juror(T, name="two", template_hash="u")
    both = jury(one, other, Juror(F))
    assert isinstance(both, Critic)
    label = await both.judge(comparison())
    assert label.critic == both.name == "one+two"
    assert label.critic_returned_model == "one-2026+two-2026"
    assert label.template_hash == both.template_hash != "t"
    assert jury(one, one).template_hash == "t"
    assert (label.calls, label.cost_usd) == (6, 1.5)
    assert label.usage == Usage(prompt_tokens=30, completion_tokens=3)
    assert label.verdict_both_orders == "first,first"  # (F F S) is F in the second


async def test_jurors_that_saw_other_orders_have_none_in_common(comparison):
    class Recorded(Juror):
        async def judge(self, comparison):
            label = await super().judge(comparison)
            return label.model_copy(update={"verdict_both_orders": "first"})

    label = await jury(Juror(F), Recorded(F)).judge(comparison())
    assert (label.verdict, label.verdict_both_orders) == (F, "")


async def test_equal_texts_are_shown_to_nobody(comparison):
    juror = Juror(F)
    label = await jury(juror, juror).judge(comparison(0, "same", "same"))
    assert label.state == "skipped_identical" and juror.asked == 0


async def test_votes_are_asked_apart_and_each_only_once(
    server, endpoint, comparison, tmp_path
):
    # 3 votes in 2 orders; the last vote sees it the other way round
    replies = ["Output (a)", "Output (b)"] * 2 + ["Output (b)", "Output (a)"]
    server.answer = lambda text: replies[len(server.requests) - 1]
    labels = []
    for _ in range(2):
        async with open_asker(
            endpoint(), api_key=None, ledger=tmp_path / "l.jsonl", budget_usd=None
        ) as asker:
            votes = [ChatCritic(asker=asker, vote=vote) for vote in range(3)]
            labels.append(await jury(*votes).judge(comparison()))
    assert labels[0] == labels[1] and len(server.requests) == 6
    assert (labels[0].verdict, labels[0].critic) == (F, "judge-1")
    assert labels[0].p_first == pytest.approx(2 / 3)
    assert [one.verdict for one in labels[0].jurors] == [F, F, S]
    # the first vote is the question of a critic that has but one
    async with open_asker(
        endpoint(), api_key=None, ledger=tmp_path / "l.jsonl", budget_usd=None
    ) as asker:
        assert await ChatCritic(asker=asker).judge(comparison()) == labels[0].jurors[0]
    assert len(server.requests) == 6


async def test_models_of_both_vendors_sit_in_one_jury(
    server, endpoint, comparison, tmp_path
):
    seats = [endpoint("openai", model="x"), endpoint("anthropic", model="y")]
    async with open_askers(
        [Endpoint(seat) for seat in seats], ledger=tmp_path / "l.jsonl", budget_usd=None
    ) as askers:
        both = jury(*(ChatCritic(asker=asker) for asker in askers))
        label = await both.judge(comparison(0, "bad", "good"))
    assert (label.verdict, label.critic, label.calls) == (S, "x+y", 4)
    assert [one["model"] for one in server.requests] == ["x", "x", "y", "y"]


async def test_a_jurys_questions_are_those_of_every_juror(
    server, endpoint, comparison, tmp_path
):
    seats = [endpoint("openai", model="x"), endpoint("anthropic", model="y")]
    async with open_askers(
        [Endpoint(seat) for seat in seats], ledger=tmp_path / "l.jsonl", budget_usd=None
    ) as askers:
        critics = [ChatCritic(asker=asker) for asker in askers]
        posed = list(jury(Juror(F), *critics).questions(comparison()))
        assert [one.asker for one in posed] == [*askers[:1] * 2, *askers[1:] * 2]
        for asker, question in posed:
            await asker.ask_once(question)
        await jury(*critics).judge(comparison())
    assert len(server.requests) == 4
