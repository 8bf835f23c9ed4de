"""Tests of `rlaif_jax.study.table`."""

import io

from rich.console import Console

from rlaif_jax.study.table import results_table


def printed(results) -> str:
    console = Console(width=160, file=io.StringIO())
    console.print(results_table(results))
    return console.file.getvalue()


def test_every_arm_has_its_figures(make_study):
    lines = printed(make_study()).splitlines()
    (row,) = [line for line in lines if "rlaif_weak" in line]
    assert "18,800" in row
    assert "$0.50" in row  # .0281 + .3941 + .0731
    assert "66.1" in row


def test_foreign_text_is_neither_markup_nor_terminal_control(make_study):
    study = make_study(headline=None, claims={}, stages=(), curves=())
    arms = {"[red]x[/red]\x1b[31m": study.arms["sft_weak"]}
    text = printed(study.model_copy(update={"arms": arms, "title": "[bold]t"}))
    assert "[red]x[/red][U+001B][31m" in text
    assert "[bold]t" in text
    assert "\x1b[31m" not in text
