"""Tests of `rlaif_jax.data.sources`."""

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rlaif_jax.config import SourceConfig
from rlaif_jax.data.sources import left_out, read_prompts
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


def test_the_papers_rules_keep_the_first_place_and_the_last_answer(made_up):
    path = made_up("sharegpt.json")
    source = SourceConfig(format="sharegpt", path=path, rules="paper")
    read = read_prompts(source)

    answers = {one.prompt_id: one.text for one in read.completions}
    found = [(one.messages[-1].content, answers[one.prompt_id]) for one in read.prompts]
    assert found == [
        ("q0", "a7"),  # the first and the eighth conversation
        ("q2\n\nAssistant: more 2", "a2"),
        ("q3", "a3"),
        ("", "b3"),  # the assistant went on: a question that nobody asked
        ("q5", "a5"),
        ("", "a8"),
    ]
    assert read.dropped == {
        "assistant_first": 1,
        "special_token_text": 1,
        "unanswered": 2,
        "duplicate": 1,
    }


def test_the_clean_rules_keep_the_first_answer_and_no_empty_question(made_up):
    read = read_prompts(SourceConfig(format="sharegpt", path=made_up("sharegpt.json")))

    answers = {one.prompt_id: one.text for one in read.completions}
    assert [
        (one.messages[-1].content, answers.get(one.prompt_id)) for one in read.prompts
    ] == [
        ("q0", "a0"),
        ("q2", None),
        ("q3", "a3"),
        ("q5", "a5"),
        ("q6", "a6"),
        ("q9", None),
    ]
    assert read.dropped == {
        "assistant_first": 1,
        "special_token_text": 1,
        "duplicate": 1,
        "empty": 1,
    }


def texts(pairs):
    return [(pair.chosen.text, pair.rejected.text) for pair in pairs]


def test_pairs_of_a_prompt_that_comes_again_are_kept_together(made_up):
    read = read_prompts(SourceConfig(format="hh", path=made_up("hh")))

    assert [texts(read.judged.get(one.prompt_id, ())) for one in read.prompts] == [
        [
            ("Put it in boiling water for eight minutes.", "Ask a cook."),
            ("Put it in boiling water for eight minutes.", "You don't."),
        ],
        [("The Danube, for one.", "No.")],
        [],
    ]
    assert left_out(read.undecided, read.undecided) == {"identical": 1}
    assert read.dropped["duplicate"] == 1


def test_pairs_that_teach_nothing_are_counted(made_up):
    source = SourceConfig(format="ultrafeedback", path=made_up("ultrafeedback.jsonl"))
    read = read_prompts(source)
    assert [texts(pairs) for pairs in read.judged.values()] == [[("Blue.", "Seven.")]]
    assert left_out(read.undecided, read.undecided) == {"blank": 1}

    read = read_prompts(
        SourceConfig(format="alpaca_eval", path=made_up("annotations.json"))
    )
    assert left_out(read.undecided, read.undecided) == {"tie": 2}


def test_the_last_annotation_of_a_prompt_wins_under_the_papers_rules(made_up):
    source = SourceConfig(
        format="alpaca_eval", path=made_up("annotations.json"), rules="paper"
    )
    read = read_prompts(source)
    assert [texts(pairs) for pairs in read.judged.values()] == [
        [("student 1b", "teacher 1b")],
        [("student 2", "teacher 2")],
        [("student 4", "teacher 4")],
        [("student 5", "teacher 5")],
        [("teacher 7", "student 7")],
    ]
    assert left_out(read.undecided, read.undecided) == {
        "identical": 1
    }  # it had no gradient


def test_several_sources_are_one_list_in_which_a_prompt_counts_once(tmp_path):
    first = sharegpt(tmp_path / "a.json", ["one", "answer 1"], ["two", "answer 2"])
    second = sharegpt(tmp_path / "b.json", ["two", "other"], ["three", "answer 3"])

    read = read_prompts(first, second)

    assert [one.messages for one in read.prompts] == [
        user(text) for text in ("one", "two", "three")
    ]
    assert [one.text for one in read.completions] == [
        "answer 1",
        "answer 2",
        "answer 3",
    ]
    assert read.dropped == {"duplicate": 1}
    assert read.content == (*read_prompts(first).content, *read_prompts(second).content)


def test_the_content_hash_is_of_what_was_read_and_not_of_how(tmp_path):
    before = read_prompts(sharegpt(tmp_path / "a.json", ["one", "answer"])).content
    again = read_prompts(sharegpt(tmp_path / "b.json", ["one", "answer"])).content
    other = read_prompts(sharegpt(tmp_path / "a.json", ["one", "answer!"])).content
    assert before == again != other


def test_a_named_writer_is_the_writer_of_the_answers(tmp_path):
    source = sharegpt(tmp_path / "a.json", ["one", "answer"])
    (own,) = read_prompts(source).completions
    assert own.generator == "sharegpt"
    named = source.model_copy(update={"generator": "gpt-3.5"})
    (own,) = read_prompts(named).completions
    assert own.generator == "gpt-3.5"


def hh_file(path, rejected):
    question = "\n\nHuman: one\n\nAssistant: "
    row = {"chosen": f"{question}yes", "rejected": f"{question}{rejected}"}
    path.write_text(json.dumps(row) + "\n")
    return SourceConfig(format="hh", path=str(path))


@pytest.mark.parametrize("is_reversed", [False, True])
def test_a_prompt_that_is_held_out_by_one_source_is_held_out_by_all(
    tmp_path, is_reversed
):
    sources = [
        hh_file(tmp_path / f"{name}.jsonl", name) for name in ("train", "dev", "test")
    ]
    read = read_prompts(*(sources[::-1] if is_reversed else sources))
    (prompt,) = read.prompts
    assert prompt.split == "test"
    (pairs,) = read.judged.values()
    assert len(pairs) == 3  # all of them are held out with it


def test_a_held_out_prompt_stays_so_under_the_papers_rules(tmp_path):
    item = {"instruction": "one", "output_1": "a", "output_2": "b", "preference": 1}
    (tmp_path / "a.json").write_text(json.dumps([item]))
    path = str(tmp_path / "a.json")
    paper = SourceConfig(format="alpaca_eval", path=path, rules="paper")
    read = read_prompts(hh_file(tmp_path / "test.jsonl", "no"), paper)
    (prompt,) = read.prompts
    assert prompt.split == "test"


def test_pairs_that_are_none_are_counted_of_the_prompts_asked_for(made_up):
    source = SourceConfig(format="alpaca_eval", path=made_up("annotations.json"))
    read = read_prompts(source)
    ids = {one.messages[0].content: one.prompt_id for one in read.prompts}
    assert left_out(read.undecided, [ids["Q1"]]) == {}
    assert left_out(read.undecided, [ids["Q1"], ids["Q3"]]) == {"tie": 1}


def test_all_pairs_of_a_post_count_as_rows_that_were_read(made_up):
    read = read_prompts(SourceConfig(format="shp", path=made_up("shp.jsonl")))
    assert (read.num_read, read.dropped) == (5, {"close_scores": 2})
    assert len(read.prompts) == 2
