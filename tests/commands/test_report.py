"""Tests of `report`: what studies left, drawn again."""

import json
from unittest.mock import Mock

import pytest

from rlaif_jax import cli
from rlaif_jax.evaluation.paired import pooled_win_rate
from rlaif_jax.study import report, results
from rlaif_jax.study.results import Arm, SeedResult, StudyResults
from rlaif_jax.study.results_file import read_results, write_results


@pytest.fixture
def study(tmp_path):
    """Writes a study of some arms into a folder, and gives the folder."""

    def write(name, arms, *, prompts=4, **fields):
        outcomes = {
            arm: {str(i): float(i < won) for i in range(prompts)}
            for arm, won in arms.items()
        }
        seeds = {
            arm: SeedResult(
                seed=0, outcomes=won, mean_completion_tokens=1.0, length_rate=0.0
            )
            for arm, won in outcomes.items()
        }
        told = {"baseline": "b", "evaluator": "e", "seconds": 1.0, "command": "x"}
        found = StudyResults(
            arms={arm: Arm(seeds=(seed,)) for arm, seed in seeds.items()},
            **told | fields,
        )
        write_results(tmp_path / name / "results.json", found)
        return str(tmp_path / name)

    return write


def called(capsys, *words):
    assert cli.run(["report", *words, "--json"]) == 0
    return json.loads(capsys.readouterr().out.splitlines()[-1])


def test_one_study_is_drawn_again_wherever_it_is_wanted(study, tmp_path, capsys):
    folder = study("one", {"a": 1, "b": 3})
    result = called(capsys, folder, "--out", str(tmp_path / "new"))
    assert result["arms"]["b"]["win_rate"] == pytest.approx(75.0)
    found = read_results(tmp_path / "new" / "results.json")
    assert found == read_results(tmp_path / "one" / "results.json")
    assert pooled_win_rate(found.arms["a"].outcomes).value == pytest.approx(25.0)
    assert (tmp_path / "new" / "figures" / "win_rates.svg").is_file()


def test_several_studies_are_one_page_that_says_what_may_be_compared(
    study, tmp_path, capsys
):
    folders = [
        study("one", {"a": 1, "b": 3}),
        study("two", {"c": 2, "d": 4}),
        study("three", {"e": 2, "f": 1}, evaluator="other"),
    ]
    result = called(capsys, *folders, "--out", str(tmp_path / "all"))
    assert result["compared"] == [["one", "two"], ["three"]]
    assert set(result["studies"]) == {"one", "two", "three"}
    page = (tmp_path / "all" / "report.html").read_text()
    assert "another evaluator (other instead of e)" in page
    left = json.loads((tmp_path / "all" / "results.json").read_text())
    assert left["compared"] == result["compared"]


def test_folders_of_one_name_are_told_apart_by_their_paths(study, tmp_path, capsys):
    folders = [study("x/runs", {"a": 1, "b": 3}), study("y/runs", {"a": 1, "b": 2})]
    result = called(capsys, *folders, "--out", str(tmp_path / "all"))
    assert set(result["studies"]) == set(folders)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "studies"),
        (["nowhere"], "no results of a study"),
        (["one", "./one/results.json"], "named twice"),
        (["one", "title=x"], "unknown config key 'title'"),
    ],
)
def test_bad_usage_is_told(study, tmp_path, monkeypatch, capsys, words, message):
    study("one", {"a": 1, "b": 3})
    monkeypatch.chdir(tmp_path)
    assert cli.run(["report", *words]) == 2
    assert message in capsys.readouterr().err


@pytest.mark.parametrize("drawn", [["one"], ["one", "two"]])
def test_every_pair_of_arms_is_bootstrapped_once(
    study, tmp_path, monkeypatch, capsys, drawn
):
    folders = [study(name, {"a": 1, "b": 3}) for name in drawn]
    bootstrap = Mock(wraps=results.pooled_bootstrap)
    monkeypatch.setattr(results, "pooled_bootstrap", bootstrap)
    called(capsys, *folders, "--out", str(tmp_path / "page"))
    assert bootstrap.call_count == len(drawn)


def left(folder):
    """Everything in a folder, byte by byte."""
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.mark.parametrize("drawn", [["one"], ["one", "two"]])
@pytest.mark.parametrize(
    "there",
    [
        ("results.json", None),  # a study
        ("results.json", {"format": 1, "drawn_from": ["/two/results.json"]}),
        ("results.json", {"format": "several studies"}),
        ("results.json", ["not ours"]),
        ("report.html", "nor this"),
    ],
)
def test_a_page_takes_the_place_of_nothing_else(
    study, tmp_path, monkeypatch, capsys, drawn, there
):
    monkeypatch.chdir(tmp_path)
    for folder, won in (("one", 1), ("two", 2), ("taken", 3)):
        study(folder, {"a": won, "b": 3})
    name, document = there
    if document is not None:
        (tmp_path / "taken" / "results.json").unlink()
        (tmp_path / "taken" / name).write_text(json.dumps(document))
    before = left(tmp_path / "taken")
    assert cli.run(["report", *drawn, "--out", "taken"]) == 2
    assert capsys.readouterr().err == (
        f"rlaif-jax: taken/{name} is of another study or page, and this one would "
        "overwrite it: give --out another folder\n"
    )
    assert left(tmp_path / "taken") == before


def test_a_page_of_several_never_takes_the_place_of_one_of_them(
    study, tmp_path, capsys
):
    folders = [study("one", {"a": 1, "b": 3}), study("two", {"a": 1, "b": 2})]
    before = left(tmp_path / "one")
    assert cli.run(["report", *folders, "--out", folders[0]]) == 2
    assert "one/results.json is of another study" in capsys.readouterr().err
    assert left(tmp_path / "one") == before


@pytest.mark.parametrize("drawn", [["one"], ["one", "two"]])
def test_a_page_is_drawn_again_when_its_studies_have_changed(
    study, tmp_path, monkeypatch, capsys, drawn
):
    monkeypatch.chdir(tmp_path)
    study("two", {"a": 1, "b": 2})
    for won in (1, 2):
        study("one", {"a": won, "b": 3})
        result = called(capsys, *drawn, "--out", "page")
        (arms, *_) = [
            one["arms"] for one in result.get("studies", {"": result}).values()
        ]
        assert arms["a"]["win_rate"] == pytest.approx(25.0 * won)


def test_a_study_is_drawn_again_in_its_own_folder(study, tmp_path, capsys):
    folder = study("one", {"a": 1, "b": 3})
    before = (tmp_path / "one" / "results.json").read_bytes()
    called(capsys, folder, "--out", folder)
    assert (tmp_path / "one" / "results.json").read_bytes() == before
    assert (tmp_path / "one" / "report.html").is_file()


def test_a_page_of_several_is_no_study(study, tmp_path, capsys):
    folders = [study("one", {"a": 1, "b": 3}), study("two", {"a": 1, "b": 2})]
    called(capsys, *folders, "--out", str(tmp_path / "all"))
    assert cli.run(["report", str(tmp_path / "all")]) == 65
    assert "several studies" in capsys.readouterr().err


def killed_after(call):
    """The call, after which nothing more happens."""

    def run(*arguments, **named):
        call(*arguments, **named)
        raise RuntimeError("killed")

    return run


@pytest.mark.parametrize("drawn", [["one"], ["one", "two"]])
def test_a_page_that_was_killed_half_way_is_drawn_by_the_same_call(
    study, tmp_path, monkeypatch, capsys, drawn
):
    folders = [study(name, {"a": 1, "b": 3}) for name in drawn]
    page = str(tmp_path / "page")
    with monkeypatch.context() as patched:
        patched.setattr(report, "_write_html", killed_after(report._write_html))
        assert cli.run(["report", *folders, "--out", page]) == 70
    called(capsys, *folders, "--out", page)
    assert (tmp_path / "page" / "report.html").is_file()
