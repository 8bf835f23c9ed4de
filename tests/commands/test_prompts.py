"""Tests of `rlaif_jax.commands.prompts` and of the pairs it seals."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rlaif_jax.cli import run
from rlaif_jax.data.manifest import read_manifest
from rlaif_jax.data.shards import read_shard
from rlaif_jax.records import Message

FIXTURES = Path(__file__).parents[1] / "data" / "fixtures"
EGG = "How do I boil an egg?"


def prompts(out, *arguments, json_line=None):
    code = run(["prompts", *arguments, "--out", str(out), "--json"])
    if json_line is None:
        return code
    assert code == 0
    return json.loads(json_line().out.strip().splitlines()[-1])


def hh(out, *arguments, **options):
    source = [f"source.path={FIXTURES / 'hh'}", "source.format=hh"]
    return prompts(out, *source, *arguments, **options)


def rows(folder):
    manifest = read_manifest(folder)
    assert manifest.is_final
    return [row for entry in manifest.entries for row in read_shard(folder, entry)]


def test_judged_pairs_become_preference_shards_without_a_call(tmp_path, capsys):
    result = hh(tmp_path, "fractions={aif: 1}", json_line=capsys.readouterr)

    assert result["pairs"] == {"aif": 3}
    assert result["pairs_left_out"] == {"identical": 1}
    assert result["dropped"]["different_prompts"] == 1
    egg, again, river = rows(tmp_path / "preferences" / "aif")
    assert egg.prompt == (Message(role="user", content=EGG),) == again.prompt
    assert egg.pair_id != again.pair_id
    assert [turn.content for turn in (*egg.chosen, *egg.rejected)] == [
        "Put it in boiling water for eight minutes.",
        "Ask a cook.",
    ]
    assert (egg.critic, egg.p_chosen, egg.split) == ("hh", 1.0, "aif")
    assert len(river.prompt) == 3
    told = json.loads((tmp_path / "run.json").read_text())
    assert told["sources"] == result["sources"]
    assert set(told["sources"][0]["files"]) == {"train.jsonl"}


def test_each_split_has_shards_of_its_own_prompts(tmp_path):
    assert hh(tmp_path, "fractions={sft: 0.5, aif: 0.5}") == 0

    lines = (tmp_path / "prompts.jsonl").read_text().splitlines()
    split_of = {one["prompt_id"]: one["split"] for one in map(json.loads, lines)}
    assert sorted(split_of.values()) in (["aif", "aif", "sft"], ["aif", "sft", "sft"])
    sealed = 0
    for folder in (tmp_path / "preferences").iterdir():
        for row in rows(folder):
            assert row.split == split_of[row.prompt_id] == folder.name
            sealed += 1
    assert sealed == 3


def test_run_again_after_a_stop_it_seals_what_an_unbroken_run_does(
    tmp_path, monkeypatch
):
    monkeypatch.setattr("rlaif_jax.commands.judged_pairs._ROWS", 1)
    for name in ("whole", "stopped"):
        assert hh(tmp_path / name, "fractions={aif: 1}") == 0
    whole, stopped = (
        tmp_path / name / "preferences" / "aif" for name in ("whole", "stopped")
    )
    lines = (stopped / "manifest.jsonl").read_bytes().splitlines(keepends=True)
    assert len(lines) == 3  # two shards, of whole prompts, and the end
    (stopped / "manifest.jsonl").write_bytes(lines[0])
    (stopped / "shard-000001.parquet").unlink()

    assert hh(tmp_path / "stopped", "fractions={aif: 1}") == 0

    for file in whole.iterdir():
        assert (stopped / file.name).read_bytes() == file.read_bytes()


def test_both_sides_can_be_judged_by_a_critic_instead(tmp_path, capsys):
    assert hh(tmp_path / "p", "fractions={aif: 1}", "limit=1") == 0
    (asked,) = (tmp_path / "p" / "prompts.jsonl").read_text().splitlines()
    question = json.loads(asked)["messages"][-1]["content"]
    texts = [
        json.loads((tmp_path / "p" / f"{side}.jsonl").read_text().splitlines()[0])
        for side in ("chosen", "rejected")
    ]
    row = {
        "instruction": question,
        "output_1": texts[0]["text"],
        "output_2": texts[1]["text"],
        "annotator": "somebody",
        "preference": 2,
    }
    (tmp_path / "judged.json").write_text(json.dumps([row]))
    capsys.readouterr()

    code = run(
        [
            "label",
            f"prompts={tmp_path / 'p' / 'prompts.jsonl'}",
            f"first={tmp_path / 'p' / 'chosen.jsonl'}",
            f"second={tmp_path / 'p' / 'rejected.jsonl'}",
            "critic.api=recorded",
            f"critic.file={tmp_path / 'judged.json'}",
            "--out",
            str(tmp_path / "labels"),
        ]
    )

    assert code == 0
    (pair,) = rows(tmp_path / "labels")
    assert pair.chosen[0].content == texts[1]["text"]


def test_the_papers_annotations_are_shards_that_datasets_can_load(tmp_path, capsys):
    result = prompts(
        tmp_path,
        "source.format=alpaca_eval",
        f"source.path={FIXTURES / 'annotations.json'}",
        "source.rules=paper",
        "fractions={aif: 1}",
        json_line=capsys.readouterr,
    )
    assert result["pairs"] == {"aif": 5}
    assert result["dropped"] == {"special_token_text": 1, "duplicate": 1}
    (file,) = (tmp_path / "preferences" / "aif").glob("*.parquet")
    names = pq.read_schema(file).names
    assert names[:3] == ["prompt", "chosen", "rejected"]


def test_sources_are_mixed_by_a_list_and_the_front_can_be_skipped(tmp_path, capsys):
    also = f"{{format: teacher, path: {FIXTURES / 'teacher'}}}"
    result = prompts(
        tmp_path,
        "source.format=ultrachat",
        f"source.path={FIXTURES / 'ultrachat.jsonl'}",
        f"also=[{also}]",
        "skip=1",
        "fractions={sft: 1}",
        json_line=capsys.readouterr,
    )
    assert (result["read"], result["skipped"], result["prompts"]) == (6, 1, 4)
    assert [one["format"] for one in result["sources"]] == ["ultrachat", "teacher"]
    written = (tmp_path / "completions.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in written]
    assert texts == ["Yes.", "Frozen water.", "1 2 3", ""]


def test_a_folder_is_of_the_splits_that_were_drawn(tmp_path, capsys):
    assert hh(tmp_path, "fractions={sft: 0.5, aif: 0.5}") == 0
    drawn = (tmp_path / "prompts.jsonl").read_bytes()
    assert hh(tmp_path, "fractions={sft: 0.5, aif: 0.5}") == 0
    # the same fractions in another order: other prompts in each
    assert hh(tmp_path, "fractions={aif: 0.5, sft: 0.5}") == 2
    assert "another inputs" in capsys.readouterr().err
    assert (tmp_path / "prompts.jsonl").read_bytes() == drawn


def test_pairs_of_filtered_prompts_are_not_told_as_left_out(tmp_path, capsys):
    result = prompts(
        tmp_path,
        "source.format=alpaca_eval",
        f"source.path={FIXTURES / 'annotations.json'}",
        "skip=4",
        "fractions={aif: 1}",
        json_line=capsys.readouterr,
    )
    assert result["pairs_left_out"] == {}  # both draws are among the first four


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["source.rules=paper"], "rules goes with format"),
        (["source.split=tset", "source.reader=huggingface"], "tset"),
    ],
)
def test_what_cannot_be_read_is_refused(tmp_path, capsys, arguments, told, monkeypatch):
    monkeypatch.setattr("datasets.config.HF_DATASETS_CACHE", tmp_path / "cache")
    assert hh(tmp_path / "out", *arguments) == 2
    assert told in capsys.readouterr().err
