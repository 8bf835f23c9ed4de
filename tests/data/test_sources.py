"""Tests of `rlaif_jax.data.sources`."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.sources import read_prompts
from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.files import write_records
from rlaif_jax.records import Message, Prompt


def user(text):
    return (Message(role="user", content=text),)


def sharegpt(path, *chats):
    speakers = ("human", "gpt")
    items = [
        {
            "conversations": [
                {"from": speakers[i % 2], "value": text} for i, text in enumerate(chat)
            ]
        }
        for chat in chats
    ]
    path.write_text(json.dumps(items))
    return SourceConfig(format="sharegpt", path=str(path))


def test_prompts_completions_and_reasons_come_together(tmp_path):
    source = sharegpt(
        tmp_path / "s.json",
        ["one", "answer 1", "and?", "more"],
        [" \n", "empty"],
        ["one", "another answer"],
        ["\ud83c", "half"],
        ["two </s>", "x"],
        ["three"],
    )
    read = read_prompts(source)
    assert [one.messages for one in read.prompts] == [user("one"), user("three")]
    assert [one.prompt_id for one in read.prompts] == [
        Prompt.create(user(text), source="x").prompt_id for text in ("one", "three")
    ]
    assert {one.source for one in read.prompts} == {source.path}
    assert read.num_read == 6
    assert read.dropped == {
        "empty": 1,
        "duplicate": 1,
        "not_unicode": 1,
        "special_token_text": 1,
    }
    (completion,) = read.completions
    assert completion.prompt_id == read.prompts[0].prompt_id
    assert (completion.text, completion.generator) == ("answer 1", "sharegpt")


def test_text_comes_back_letter_for_letter(tmp_path):
    texts = [" lead", "tail \n", "a\u2028b \x85", "🌳", "Human: x\n\nAssistant: ", "\0"]
    source = sharegpt(tmp_path / "s.json", *([text, "a"] for text in texts))
    read = read_prompts(source).prompts
    assert [one.messages[0].content for one in read] == texts
    write_records(tmp_path / "p.jsonl", read)
    again = SourceConfig(format="jsonl", path=str(tmp_path / "p.jsonl"))
    assert read_prompts(again).prompts == read


def test_prompt_records_keep_their_id_source_and_split(tmp_path):
    path = tmp_path / "p.jsonl"
    prompt = Prompt(prompt_id="mine", messages=user("x"), source="s", split="test")
    write_records(path, [prompt, prompt])
    read = read_prompts(SourceConfig(format="jsonl", path=str(path)))
    assert read.prompts == (prompt,) and read.dropped == {"duplicate": 1}


def test_one_id_for_two_prompts_is_corrupt_data(tmp_path):
    path = tmp_path / "p.jsonl"
    first = Prompt(prompt_id="mine", messages=user("x"), source="s", split="sft")
    write_records(path, [first, first.model_copy(update={"messages": user("y")})])
    with pytest.raises(CorruptDataError, match="'mine' names two different prompts"):
        read_prompts(SourceConfig(format="jsonl", path=str(path)))


def test_a_record_that_does_not_end_with_the_user_is_dropped(tmp_path):
    path = tmp_path / "p.jsonl"
    said = (Message(role="assistant", content="x"),)
    records = [Prompt.create(said, source="s"), Prompt.create((), source="s")]
    write_records(path, records)
    read = read_prompts(SourceConfig(format="jsonl", path=str(path)))
    assert read.dropped == {"no_user_turn": 2}


def test_the_same_text_has_the_same_id_from_any_format(tmp_path):
    pq.write_table(pa.table({"prompt": ["one"]}), tmp_path / "t.parquet")
    (tmp_path / "a.json").write_text(json.dumps([{"instruction": "one"}]))
    sources = [
        SourceConfig(format="parquet", path=str(tmp_path / "t.parquet")),
        SourceConfig(format="alpaca_eval", path=str(tmp_path / "a.json")),
        sharegpt(tmp_path / "s.json", ["one", "x"]),
    ]
    assert len({read_prompts(one).prompts[0].prompt_id for one in sources}) == 1


@pytest.mark.parametrize("kind", ["sharegpt", "alpaca_eval", "jsonl", "parquet"])
def test_a_missing_file_is_a_usage_error_that_names_it(tmp_path, kind):
    source = SourceConfig(format=kind, path=str(tmp_path / "gone"))
    with pytest.raises(UsageError, match="gone"):
        read_prompts(source)


@pytest.mark.parametrize("kind", ["sharegpt", "alpaca_eval", "jsonl", "parquet"])
def test_garbage_is_corrupt_data_that_names_the_file(tmp_path, kind):
    (tmp_path / "garbage").write_bytes(b"\xfe\x00garbage")
    source = SourceConfig(format=kind, path=str(tmp_path / "garbage"))
    with pytest.raises(CorruptDataError, match="garbage"):
        read_prompts(source)
