"""Tests of `rlaif_jax.labeling.probing`, against a real local server."""

import pytest

from rlaif_jax.errors import PreemptedError, RefusedError, UsageError
from rlaif_jax.labeling.constraints import constrained
from rlaif_jax.labeling.critic import ChatCritic
from rlaif_jax.labeling.probing import QUESTION, Probe
from rlaif_jax.labeling.session import open_asker
from rlaif_jax.labeling.verdicts import LABELS
from rlaif_jax.labeling.wording import VERDICT
from rlaif_jax.records import Verdict

pytestmark = pytest.mark.anyio
WAYS = [
    ("openai", "structured_outputs"),
    ("openai", "json_schema"),
    ("openai_responses", "json_schema"),
    ("anthropic", "json_schema"),
]
PRICES = {"usd_per_million_input_tokens": 1.0, "usd_per_million_output_tokens": 1.0}


@pytest.fixture
def probed(server, endpoint, tmp_path):
    """Probes a critic, on one ledger; judges with it if it is given a comparison."""

    async def probe(api, how, *, comparison=None, budget_usd=None, **fields):
        config = endpoint(api, constrain=how, **PRICES, **fields)
        template = constrained(VERDICT, how)
        async with open_asker(
            config,
            api_key=None,
            ledger=tmp_path / "l.jsonl",
            budget_usd=budget_usd,
            choices=LABELS,
        ) as asker:
            probe = Probe(asker=asker, template=template, constrain=how)
            outcomes = await probe.outcomes()
            if comparison is None:
                return outcomes
            critic = ChatCritic(
                asker=asker, template=template, verdicts=config.verdicts
            )
            return await critic.judge(comparison)

    return probe


@pytest.mark.parametrize(("api", "how"), WAYS)
async def test_a_constraint_that_holds_is_probed_once_a_ledger(
    probed, server, comparison, tmp_path, api, how
):
    (outcome,) = await probed(api, how)
    assert outcome.cost_usd == pytest.approx(104e-6)
    assert '"item":"probe:' in (tmp_path / "l.jsonl").read_text()
    asked = server.requests[0].get("messages") or server.requests[0]["input"]
    assert asked == [{"role": "user", "content": QUESTION[0].content}]
    assert await probed(api, how) == [outcome] and len(server.requests) == 1
    label = await probed(api, how, comparison=comparison(0, "bad", "good"))
    assert (label.verdict, label.state) == (Verdict.SECOND, "labeled")
    assert len(server.requests) == 3  # the probe is not asked again


@pytest.mark.parametrize(("api", "how"), WAYS)
async def test_a_server_that_ignores_it_is_refused(probed, server, api, how):
    server.constrains = False
    with pytest.raises(RefusedError, match=rf"constrain={how} .* 'echo Write one"):
        await probed(api, how)
    with pytest.raises(RefusedError):  # and asked again: it may be another by now
        await probed(api, how)
    assert len(server.requests) == 2
    server.constrains = True
    assert len(await probed(api, how)) == 3  # all that was paid for it
    assert len(await probed(api, how)) == 3 and len(server.requests) == 3


@pytest.mark.parametrize("reply", ["Output (a).", "output (a)", "", "Output"])
async def test_nearly_a_choice_is_none(probed, server, reply):
    server.constrains = False
    server.answer = lambda text: reply
    with pytest.raises(RefusedError, match=r"vLLM 0\.12 and later"):
        await probed("openai", "structured_outputs")


async def test_a_reply_that_was_cut_or_refused_shows_nothing(probed, server):
    server.faults.append("length")
    with pytest.raises(RefusedError, match=r"\(length\).*more max_tokens"):
        await probed("openai", "json_schema")
    server.faults.append("refusal")
    with pytest.raises(RefusedError, match=r"\(refusal\)"):
        await probed("openai", "json_schema")


async def test_no_answer_is_no_proof_of_anything(probed, server):
    server.every_fault = "html"
    with pytest.raises(PreemptedError, match="did not answer the question that tests"):
        await probed("openai", "json_schema", max_attempts=1)
    server.every_fault = None
    assert len(await probed("openai", "json_schema")) == 1


async def test_an_option_that_the_server_rejects_ends_the_run(probed, server):
    server.faults.append("400")
    with pytest.raises(UsageError, match="bad option"):
        await probed("openai", "structured_outputs")


async def test_the_budget_holds_for_it_too(probed, server):
    with pytest.raises(RefusedError, match="budget reached"):
        await probed("openai", "json_schema", budget_usd=1e-6)
    assert not server.requests


async def test_a_later_reply_off_the_choices_is_no_verdict(probed, server, comparison):
    await probed("openai", "structured_outputs")
    server.constrains = False
    server.answer = lambda text: "Output (a)."  # a verdict to a critic that is free
    label = await probed("openai", "structured_outputs", comparison=comparison())
    assert (label.verdict, label.state) == (Verdict.FAILED, "unparsable")
