"""Tests of `rlaif_jax.study.table`."""

import io

from rich.console import Console

from rlaif_jax.study.table import results_table


def printed(results, width=80) -> str:
    console = Console(width=width, file=io.StringIO())
    console.print(results_table(results))
    return console.file.getvalue()


def row(text: str, head: str) -> list[str]:
    (line,) = [line for line in text.splitlines() if line.strip().startswith(head)]
    return line.strip().removeprefix(head).split()


def test_every_arm_has_its_figures(make_study):
    study = make_study()
    text = printed(study)
    place = list(study.arms).index("rlaif_weak")
    assert row(text, "Calls")[place] == "18,800"
    assert row(text, "Price")[place] == "$0.50"  # .0281 + .3941 + .0731
    rate = study.win_rates()["rlaif_weak"].value
    assert abs(float(row(text, "Win rate, %")[place]) - rate) <= 0.05 + 1e-9


def test_nothing_is_cut_off_in_80_columns(make_study):
    study = make_study(headline=None, claims={}, stages=(), curves=())
    arm = next(iter(study.arms.values()))
    names = [f"SFT strong 10% + AI feedback {n}" for n in range(6)]
    text = printed(study.model_copy(update={"arms": dict.fromkeys(names, arm)}))
    assert "…" not in text
    assert text.count("Win rate, %") == 2  # six arms in rows of four


def test_foreign_text_is_neither_markup_nor_terminal_control(make_study):
    study = make_study(headline=None, claims={}, stages=(), curves=())
    arms = {"[red]x[/red]\x1b[31m": study.arms["sft_weak"]}
    changed = study.model_copy(update={"arms": arms, "title": "[bold]t"})
    text = printed(changed, width=160)
    assert "[red]x[/red][U+001B][31m" in text
    assert "[bold]t" in text
    assert "\x1b[31m" not in text
