"""Tests of `rlaif_jax.training.pairs`."""

import pytest

from rlaif_jax.config_parts import RowsConfig, TokensConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.tokenizer import load_tokenizer
from rlaif_jax.lab.vocabulary import write_tokenizer
from rlaif_jax.records import Message, Preference
from rlaif_jax.training.pairs import PairEncoder, PairRows, encode_preference


def preference(name, chosen, rejected):
    return Preference(
        prompt=(Message(role="user", content="b"),),
        chosen=(Message(role="assistant", content=chosen),),
        rejected=(Message(role="assistant", content=rejected),),
        pair_id=name,
        prompt_id=name,
        chosen_generator="teacher",
        rejected_generator="student",
        p_chosen=1.0,
        verdict_both_orders="first,first",
        critic="critic",
        critic_returned_model="critic",
        template_hash="",
        label_cost_usd=0.0,
        chosen_finish_reason="stop",
        rejected_finish_reason="stop",
        split="aif",
    )


@pytest.fixture
def tokenizer(tmp_path):
    write_tokenizer(tmp_path)
    return load_tokenizer(tmp_path)


TOKENS = TokensConfig(max_prompt_tokens=30, max_completion_tokens=9)
WHOLE = preference("whole", "bb", "c")


def test_preferences_become_ids_with_the_end_of_what_ended(tokenizer):
    encode = PairEncoder(tokenizer, TOKENS)
    cut = WHOLE.model_copy(
        update={"rejected_finish_reason": "length", "pair_id": "cut"}
    )
    sides = [encode(WHOLE).rejected, encode(cut).rejected]
    assert encode(WHOLE).chosen == encode(cut).chosen
    assert sides[0] == [*sides[1], tokenizer.eos_token_id]
    assert encode(WHOLE).chosen[-1] == tokenizer.eos_token_id
    assert max(map(len, [*sides, encode(WHOLE).chosen])) <= 9
    assert len(encode(WHOLE).prompt) <= 30
    assert encode(WHOLE).fate.ended == (True, True)
    assert encode(cut).fate.ended == (True, False)


def test_as_in_the_paper_every_side_ends_and_the_longer_one_cuts_the_prompt(tokenizer):
    tokens = TOKENS.model_copy(update={"compat": "paper"})
    cut = preference("cut", "b", "c").model_copy(
        update={"rejected_finish_reason": "length"}
    )
    ids = encode_preference(tokenizer, cut, tokens)
    assert ids.chosen[-1] == ids.rejected[-1] == tokenizer.eos_token_id
    assert ids.fate.ended == (True, True)

    short = tokens.model_copy(update={"max_prompt_tokens": 2})
    long = preference("long", "b", "c" * 30)
    ids = encode_preference(tokenizer, long, short)
    assert (len(ids.prompt), len(ids.rejected)) == (2, 9)
    assert ids.fate.truncated == (True, False, True)
    assert ids.fate.ended == (True, False)


def test_so_many_pairs_are_remembered_and_no_more(tokenizer):
    encode = PairEncoder(tokenizer, TOKENS, max_remembered=1)
    another = preference("another", "c", "bb")
    assert encode(WHOLE) is encode(WHOLE)
    assert encode(another) is not encode(another)
    assert encode(another) == encode_preference(tokenizer, another, TOKENS)


def test_parts_of_a_batch_have_one_shape(tokenizer):
    rows = PairRows(
        to_pair=PairEncoder(tokenizer, TOKENS),
        layout=build_layout(RowsConfig(), length=64, num_devices=1),
    )
    long = preference("long", "bcbcbcbc", "cbcbcbcb")
    (first, short), (second, longer) = rows.parts([[WHOLE], [long]])
    assert [first, second] == [[rows.to_pair(WHOLE)], [rows.to_pair(long)]]
    assert short.token_ids.shape == longer.token_ids.shape
    assert int(longer.lengths.sum()) == len(second[0].chosen) + len(second[0].rejected)
