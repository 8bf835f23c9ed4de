"""Tests of `rlaif_jax.study.stage`."""

from pathlib import Path

import pytest

from rlaif_jax.config_file import validate
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph
from rlaif_jax.study.stage import named_stage, resolve


def test_references_become_paths():
    drawn = named_stage("prompts", "drawn", {"seed": 1}, [])
    document = {"prompts": drawn.output("prompts.jsonl"), "splits": ["a/b"]}
    reader = named_stage("sft", "reader", document, [drawn, None])
    assert reader.needs == {drawn.digest}
    found = resolve(reader.document, {drawn.digest: Path("root") / drawn.folder})
    assert found == {
        "prompts": str(Path("root") / drawn.folder / "prompts.jsonl"),
        "splits": ["a/b"],
    }
    with pytest.raises(KeyError):
        resolve(reader.document, {})


def pinned(**critic):
    """An arm whose stages are in folders of earlier versions."""
    lab = {"api": "openai", "base_url": "http://127.0.0.1:8765/v1", "max_tokens": 16}
    prices = {"usd_per_million_input_tokens": 1, "usd_per_million_output_tokens": 2}
    document = {
        "name": "pinned",
        "prompts": {"source": {"format": "jsonl", "path": "nowhere/prompts.jsonl"}},
        "teachers": {"weak": lab | prices | {"model": "teacher"}},
        "critics": {
            "strong": critic
            if critic.get("api") == "jury"
            else lab | prices | {"model": "critic", **critic}
        },
        "baseline": "weak",
        "base": {"model": {"path": "nowhere/base"}},
        "sft": {"optimizer": {"name": "adamw", "learning_rate": 1e-3}},
        "dpo": {"optimizer": {"name": "adamw", "learning_rate": 1e-4}},
        "evaluation": {
            "evaluator": {
                "api": "anthropic",
                "base_url": "https://api.anthropic.com",
                "model": "evaluator",
                "api_key_env": "KEY",
                "temperature": 0.0,
            }
        },
        "arms": {
            "one": {
                "teacher": "weak",
                "sft_splits": ["sft"],
                "critic": "strong",
                "aif_splits": ["aif"],
            }
        },
    }
    (stages,) = build_graph(validate(StudyConfig, document))
    return stages


# by the code before critics had options; what these stages hold was paid for
NAMED = {
    "teacher": "2d412da28bb6f75a782ebfbf08925534",
    "baseline": "44e42c35d30058ac44929c11e7984518",
    "label": "a5b8fe2b721c3351d4bd191c06ffae4f",
    "evaluate": "b7ad2f34b3c497434fb474bf18a7ba84",
    # by the code before arms had bases, pair sources and losses of their own
    "prompts": "5e747b41715195adc1699eb5a517d8e2",
    "sft": "b818ae25b22b4ed442bd8f0307d952d9",
    "student": "dfbb91db51ae110c89d9407dc621e001",
    "dpo": "2292a15177585b992b0f44a6d82581ba",
    "sample": "5c04403d0b7e5c44fb08182b93f6f292",
}


def test_stages_keep_the_names_that_they_had():
    stages = pinned()
    assert {name: getattr(stages, name).digest for name in NAMED} == NAMED


def test_options_that_critics_got_later_are_in_no_digest_at_their_defaults():
    for name, section in (("label", "critic"), ("evaluate", "evaluator")):
        stage = getattr(pinned(), name)
        older = essence(stage.document)
        for option in ("template", "verdicts", "votes", "constrain"):
            del older[section][option]
        del older[section]["reasoning_effort"]
        assert stage.digest == content_hash(name, older)
    older = essence(pinned().teacher.document)
    assert older["teacher"].pop("reasoning_effort") is None
    assert pinned().teacher.digest == content_hash("complete", older)
    chosen = pinned(template="verdict", verdicts="hard", votes=1)
    assert chosen.evaluate == pinned().evaluate
    assert pinned().label.document["critic"]["votes"] == 1  # whatever is later usual


@pytest.mark.parametrize(
    "how",
    [
        {"template": "rationale"},
        {"verdicts": "soft"},
        {"votes": 2},
        {"constrain": "json_schema"},
        {"reasoning_effort": "low"},
    ],
)
def test_another_way_to_judge_is_another_stage(how):
    old, new = pinned(), pinned(**how)
    assert old.student == new.student
    assert old.label.digest != new.label.digest
    assert old.dpo.digest != new.dpo.digest


def test_seats_of_a_jury_have_no_later_option_in_its_digest():
    seat = {"api": "openai", "base_url": "http://127.0.0.1:1/v1", "model": "m"}
    jury = {"api": "jury", "critics": [seat, seat | {"model": "n"}]}
    stage = pinned(**jury).label
    older = essence(stage.document)
    for one in older["critic"]["critics"]:
        assert (one.pop("constrain"), one.pop("reasoning_effort")) == ("none", None)
        assert one["votes"] == 1  # juries are no older than votes
    assert stage.digest == content_hash("label", older)
    seat["constrain"] = "json_schema"
    assert pinned(**jury).label.digest != stage.digest


def test_a_template_counts_by_its_content(tmp_path):
    file = tmp_path / "rubric.yaml"
    file.write_text("one")
    first = pinned(template=str(file)).label.digest
    assert pinned(template=str(file)).label.digest == first
    file.write_text("two")
    assert pinned(template=str(file)).label.digest != first


def test_the_order_in_which_splits_are_dealt_is_in_the_name():
    def name(*splits):
        fractions = {split: 1 / len(splits) for split in splits}
        return named_stage("prompts", "", {"fractions": fractions}, []).digest

    assert name("sft", "aif") != name("aif", "sft")
    assert name("a", "b") != name("b", "a")


def test_a_file_of_the_working_directory_counts_by_its_content(tmp_path, monkeypatch):
    def name():
        source = {"format": "jsonl", "path": "mine.jsonl"}
        return named_stage("prompts", "", {"source": source}, []).digest

    monkeypatch.chdir(tmp_path)
    found = {name()}
    for text in ("one", "two"):
        (tmp_path / "mine.jsonl").write_text(text)
        by_folder = {"format": "jsonl", "path": str(tmp_path / "mine.jsonl")}
        elsewhere = named_stage("prompts", "", {"source": by_folder}, []).digest
        assert name() == elsewhere
        found.add(name())
    assert len(found) == 3


def test_a_word_that_is_no_input_is_never_taken_for_a_file(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = pinned()
    for word in ("sft", "critic", "adamw", "verdict", "human_assistant"):
        (tmp_path / word).write_text("x")
    assert pinned() == before
