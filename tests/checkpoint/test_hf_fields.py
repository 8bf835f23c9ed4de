"""Tests of `rlaif_jax.checkpoint.hf_fields`."""

import pytest

from rlaif_jax.checkpoint.hf_fields import Fields, rope_document
from rlaif_jax.errors import CorruptDataError, RefusedError
from rlaif_jax.models import preset
from rlaif_jax.models.config import RopeScaling


def fields(**document):
    return Fields(document, "config.json")


def test_what_nobody_reads_is_refused_unless_it_says_nothing():
    read = fields(depth=3, note=None, flag=False, torch_dtype="float32", odd=1)
    assert read.get("depth") == 3
    with pytest.raises(RefusedError, match="odd=1 is not known here"):
        read.finish()
    read.ignore("odd")
    read.finish()


def test_null_is_the_default_unless_null_has_a_meaning():
    read = fields(window=None)
    assert read.get("window", 7) == 7
    assert read.nullable("window", 7) is None
    assert read.nullable("other", 7) == 7
    with pytest.raises(CorruptDataError, match="has no window"):
        read.need("window")


def test_only_implemented_values_pass():
    fields(act="silu").only("act", "silu")
    fields().only("act", "silu")
    with pytest.raises(RefusedError, match="act='relu' is not implemented"):
        fields(act="relu").only("act", "silu")


def test_old_and_new_rope_fields_say_the_same():
    old = fields(rope_theta=5.0, rope_scaling={"type": "linear", "factor": 2.0})
    new = fields(
        rope_parameters={"rope_theta": 5.0, "rope_type": "linear", "factor": 2.0}
    )
    assert old.rope() == new.rope()
    assert new.rope()["rope_scaling"] == RopeScaling(kind="linear", factor=2.0)


@pytest.mark.parametrize("name", ["llama-2-7b", "llama-3.1-8b", "pythia-70m"])
def test_rope_fields_come_back(name):
    config = preset(name)
    document = rope_document(config, ["fraction"])
    assert Fields(document, "x").rope() == {
        "rope_theta": config.rope_theta,
        "rope_fraction": config.rope_fraction,
        "rope_scaling": config.rope_scaling,
    }
    before_5 = {k: v for k, v in document.items() if k != "rope_parameters"}
    assert Fields(before_5, "x").rope()["rope_scaling"] == config.rope_scaling


def test_an_end_must_be_one_token():
    assert fields(eos_token_id=[7]).tokens(bos=1, eos=2)["eos_token_id"] == 7
    assert fields().tokens(bos=1, eos=2) == {"bos_token_id": 1, "eos_token_id": 2}
    with pytest.raises(RefusedError, match="must be one token"):
        fields(eos_token_id=[7, 8]).tokens(bos=1, eos=2)
