"""Tests of `rlaif_jax.data.alpaca_eval`."""

import gzip
import json

import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.alpaca_eval import read_alpaca_eval
from rlaif_jax.errors import CorruptDataError


def read(path, items):
    path.write_bytes(gzip.compress(json.dumps(items).encode()))
    return list(read_alpaca_eval(SourceConfig(format="alpaca_eval", path=str(path))))


def test_instructions_come_in_file_order(tmp_path):
    items = [
        {"instruction": text, "output_1": "a", "output_2": "b", "preference": 1.0}
        for text in ("second", "first é")
    ]
    exchanges = read(tmp_path / "m.annotations.json.gz", items)
    assert [one.messages[0].content for one in exchanges] == ["second", "first é"]


def test_an_item_without_instruction_is_corrupt_data(tmp_path):
    with pytest.raises(CorruptDataError, match="row 1 has no text 'instruction'"):
        read(tmp_path / "m.json.gz", [{"instruction": "x"}, {"instruction": None}])


def judged(made_up, **options):
    path = made_up("annotations.json")
    source = SourceConfig(format="alpaca_eval", path=path, **options)
    return [
        one.dropped
        or (
            one.answer,
            [(p.chosen, p.chosen_generator, p.p_chosen) for p in one.rivals],
            one.undecided,
        )
        for one in read_alpaca_eval(source)
    ]


def test_annotations_bring_the_teachers_output_and_judged_pairs(made_up):
    assert judged(made_up)[:5] == [
        ("teacher 1", [("teacher 1", "chatgpt", 1.0)], 0),
        ("teacher 2", [("student 2", "temp1.0", 1.0)], 0),
        ("same", [], 1),  # a draw
        ("teacher 4", [], 1),  # no verdict
        ("teacher 5", [("teacher 5", "chatgpt", 0.75)], 0),
    ]


def test_under_the_papers_rules_whatever_is_not_1_is_the_students(made_up):
    assert judged(made_up, rules="paper", data_fraction=0.75) == [
        ("teacher 1", [("teacher 1", "chatgpt", 1.0)], 0),
        ("teacher 2", [("student 2", "temp1.0", 1.0)], 0),
        ("same", [("same", "temp1.0", 1.0)], 0),
        ("teacher 4", [("student 4", "temp1.0", 1.0)], 0),
        ("teacher 5", [("student 5", "temp1.0", 1.0)], 0),
        "special_token_text",
    ]


def test_the_evaluation_set_and_model_outputs_bring_an_answer(made_up):
    source = SourceConfig(format="alpaca_eval", path=made_up("alpaca_eval.json"))
    found = [(one.answer, one.generator) for one in read_alpaca_eval(source)]
    assert found == [
        ("The North Sea and the Baltic.", "text_davinci_003"),
        ("5", "text_davinci_003"),
    ]


def test_the_evaluation_set_is_held_out_and_annotations_are_not(made_up):
    for name, split in (("alpaca_eval.json", "test"), ("annotations.json", "train")):
        source = SourceConfig(format="alpaca_eval", path=made_up(name))
        assert {one.split for one in read_alpaca_eval(source)} == {split}


def test_an_annotation_with_one_output_is_corrupt_data(tmp_path):
    with pytest.raises(CorruptDataError, match="row 0: output_2 is not text"):
        read(tmp_path / "m.json.gz", [{"instruction": "x", "output_1": "a"}])


@pytest.mark.parametrize("preference", [3, -2, True, "1"])
def test_a_preference_off_the_scale_is_corrupt_data(tmp_path, preference):
    item = {"instruction": "q", "output_1": "a", "output_2": "b"}
    with pytest.raises(CorruptDataError, match="row 0: preference is"):
        read(tmp_path / "m.json.gz", [item | {"preference": preference}])


def test_an_output_that_is_no_text_is_corrupt_data(tmp_path):
    with pytest.raises(CorruptDataError, match="row 0: 'output' is list, not text"):
        read(tmp_path / "m.json.gz", [{"instruction": "q", "output": ["a"]}])


@pytest.mark.parametrize("rules", ["clean", "paper"])
def test_an_annotation_without_preference_is_corrupt_data(tmp_path, rules):
    path = tmp_path / "m.json"
    path.write_text('[{"instruction": "q", "output_1": "a", "output_2": "b"}]')
    source = SourceConfig(format="alpaca_eval", path=str(path), rules=rules)
    with pytest.raises(CorruptDataError, match="row 0 has no preference"):
        list(read_alpaca_eval(source))


def test_newer_files_tell_their_price_and_may_leave_names_out(tmp_path):
    item = {
        "instruction": "q",
        "output_1": "a",
        "output_2": "b",
        "generator_1": None,
        "annotator": None,
        "preference": 1.0,
        "preference_price_per_example": 0.5,
    }
    ((rivals,),) = (one.rivals for one in read(tmp_path / "m.json.gz", [item]))
    assert (rivals.chosen_generator, rivals.judge) == ("output_1", "recorded")
    assert rivals.cost_usd == 0.5
