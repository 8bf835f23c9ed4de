"""Tests of `rlaif_jax.cli`: what a user sees when something is wrong."""

import pytest

from rlaif_jax import cli
from rlaif_jax.errors import CorruptDataError


def test_every_verb_explains_its_keys(capsys):
    for verb in cli.VERBS:
        assert cli.run([verb, "--help"]) == 0
        assert "Config keys" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["frob"], "No such command 'frob'"),
        (["sft", "--nope"], "No such option"),
        (["sft", "none.yaml"], "no config at none.yaml"),
        (["sft", "modle.path=x"], "did you mean 'model'"),
        (["doctor", "x=1"], "unknown config key 'x'"),
    ],
)
def test_bad_usage_is_one_line_and_exit_code_2(argv, message, capsys):
    assert cli.run(argv) == 2
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert message in lines[0]


def test_an_error_inside_a_task_group_keeps_its_exit_code(capsys):
    group = ExceptionGroup("tasks", [ExceptionGroup("x", [CorruptDataError("bad")])])
    assert cli._failed(group, debug=False) == 65
    assert capsys.readouterr().err == "rlaif-jax: bad\n"


def test_a_bug_is_exit_code_70_and_secrets_are_blanked(capsys):
    assert cli._failed(KeyError("sk-ant-abcdef123456"), debug=False) == 70
    err = capsys.readouterr().err
    assert "KeyError" in err
    assert "abcdef" not in err


def test_version(capsys):
    assert cli.run(["--version"]) == 0
    assert capsys.readouterr().out.strip().count(".") == 2


def test_an_interrupt_before_the_run_is_told(monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr(cli, "load_config", interrupted)
    assert cli.run(["doctor"]) == 130
    assert "run the same command again" in capsys.readouterr().err
