"""Options of batches have an effect or are refused, by their names."""

import pytest

from rlaif_jax.config import CompleteConfig, LabelConfig
from rlaif_jax.config_batch import BatchConfig
from rlaif_jax.config_file import load_config
from rlaif_jax.errors import UsageError
from rlaif_jax.run_folder import essence

MODEL = ["api=openai", "base_url=https://api.openai.com/v1", "model=m"]
LABEL = ["prompts=p", "first=a", "second=b"]
KINDS = {
    "label": (LabelConfig, "critic", LABEL),
    "complete": (CompleteConfig, "teacher", ["prompts=p"]),
}


def load(verb, *words, recorded=False):
    kind, model, rest = KINDS[verb]
    asked = ["api=recorded", "file=x.json"] if recorded else MODEL
    return load_config(kind, [*rest, *(f"{model}.{word}" for word in asked), *words])


@pytest.mark.parametrize("verb", KINDS)
def test_batches_are_chosen_by_the_engine(verb):
    assert load(verb).engine == "local" and load(verb).batch is None
    config = load(verb, "engine=batch", "batch.poll_s=5", "batch.max_requests=100")
    assert config.batch == BatchConfig(poll_s=5.0, max_requests=100)
    assert load(verb, "engine=batch").batch is None


@pytest.mark.parametrize("verb", KINDS)
def test_options_of_batches_need_the_engine(verb):
    with pytest.raises(UsageError, match="batch goes with engine=batch"):
        load(verb, "batch.poll_s=5")


@pytest.mark.parametrize("verb", KINDS)
def test_what_is_recorded_is_in_no_batch(verb):
    with pytest.raises(UsageError, match="engine=batch is for models that are asked"):
        load(verb, "engine=batch", recorded=True)


def test_decisions_have_no_batches():
    decisions = ["critic.api=openai_decisions", "critic.verdicts=soft"]
    assert load("label", *decisions).critic.api == "openai_decisions"
    with pytest.raises(UsageError, match="openai_decisions has no batches"):
        load("label", *decisions, "engine=batch")


@pytest.mark.parametrize(
    "word", ["price_share=0", "price_share=2", "max_requests=0", "poll_s=0", "x=1"]
)
def test_nonsense_is_refused(word):
    with pytest.raises(UsageError, match=word.split("=")[0]):
        load("label", "engine=batch", f"batch.{word}")


def test_a_folder_may_go_on_with_another_engine():
    documents = [
        essence(load("label", *words).model_dump(mode="json"))
        for words in ([], ["engine=batch", "batch.max_rounds=1"])
    ]
    assert documents[0] == documents[1]
