"""Tests of `rlaif_jax.training.held_out`."""

import pytest

from rlaif_jax.config_validation import PairValidationConfig
from rlaif_jax.data.order import RowStream
from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import PreemptedError, UsageError
from rlaif_jax.records import Message, Preference
from rlaif_jax.training.held_out import hold_out


def preference(n, *, prompt=None, split="aif"):
    """The n-th one, whose prompt's name says nothing of its text."""
    said = {
        "prompt": f"question {n if prompt is None else prompt}",
        "chosen": f"good {n}",
        "rejected": f"bad {n}",
    }
    texts = dict.fromkeys(Preference.model_fields, str(n))
    messages = {
        name: (Message(role="user", content=text),) for name, text in said.items()
    }
    numbers = {"p_chosen": 1.0, "label_cost_usd": 0.0}
    return Preference(**texts | messages | numbers | {"split": split})


@pytest.fixture
def labels(tmp_path):
    def write(shards, *, name="labels", final=True):
        with ShardWriter(tmp_path / name) as writer:
            for rows in shards:
                writer.add(rows)
            if final:
                writer.finish()
        return tmp_path / name

    return write


def opened(folder, **options):
    return ManifestSource(folder, wait_s=0.0, **options)


def trained_on(held_out):
    stream = RowStream(held_out.training, batch_size=1, epochs=1, seed=0)
    assert stream.num_batches == len(list(stream))
    return sorted(int(record.pair_id) for batch in stream for record in batch.records)


SHARDS = [
    [preference(0), preference(1)],
    [preference(2), preference(3, prompt=1)],
    [preference(4, prompt=0), preference(5), preference(6)],
]


def test_pairs_that_share_a_prompt_with_validation_are_dropped_and_counted(labels):
    folder = labels(SHARDS)
    held_out = hold_out(PairValidationConfig(), folder, opened(folder))
    assert [int(record.pair_id) for record in held_out.records] == [0, 1]
    assert trained_on(held_out) == [2, 5, 6]
    assert held_out.to_json() == {"pairs": 2, "shared_prompts_dropped": 2}
    assert held_out.told == (
        "2 pairs for validation; 2 others share their prompts: left out"
    )


def test_another_folder_leaves_all_shards_but_not_its_prompts(labels):
    folder = labels(SHARDS)
    other = labels([[preference(9, prompt=2)]], name="other")
    asked = PairValidationConfig(preferences=other)
    held_out = hold_out(asked, folder, opened(folder))
    assert [int(record.pair_id) for record in held_out.records] == [9]
    assert trained_on(held_out) == [0, 1, 3, 4, 5, 6]
    assert held_out.validation(lambda params, batch: 0).data == {
        "preferences": str(other),
        "shards": None,
    }


def test_a_run_remembers_what_was_held_out(labels):
    one, other = labels(SHARDS), labels(SHARDS[1:], name="other")
    prints = [
        hold_out(PairValidationConfig(shards=k), folder, opened(folder)).fingerprint
        for folder, k in ((one, 1), (one, 2), (other, 1), (one, 1))
    ]
    assert len(set(prints)) == 3
    assert prints[0] == prints[3]


def test_shards_to_hold_out_are_waited_for(labels, tmp_path):
    writer = ShardWriter(tmp_path / "growing")
    waiting = iter(SHARDS)

    def grow(_):
        writer.add(next(waiting))

    source = ManifestSource(tmp_path / "growing", wait_s=9.0, sleep=grow)
    held_out = hold_out(PairValidationConfig(shards=2), tmp_path / "growing", source)
    assert len(held_out.records) == 4
    with pytest.raises(PreemptedError):
        stalled = opened(tmp_path / "growing")
        hold_out(PairValidationConfig(shards=9), tmp_path / "growing", stalled)
    writer.close()


def test_what_cannot_be_validated_on_is_refused(labels):
    folder = labels(SHARDS)

    def refused(message, asked, folder=folder):
        with pytest.raises(UsageError, match=message):
            hold_out(asked, folder, opened(folder))

    growing = labels(SHARDS, name="growing", final=False)
    refused("still writes to", PairValidationConfig(preferences=growing))
    empty = labels([], name="empty")
    refused("no pairs to validate on", PairValidationConfig(preferences=empty))
    test = labels([[preference(9, split="test")]], name="test")
    refused("pairs of the test split", PairValidationConfig(preferences=test))
    refused("leaves none to train on", PairValidationConfig(preferences=folder))
    refused("leaves none to train on", PairValidationConfig(shards=3))
    assert hold_out(None, folder, opened(folder)) is None
