"""A study's arms as tables for the terminal."""

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from rlaif_jax.study.results import StudyResults
from rlaif_jax.study.wording import (
    duration,
    interval,
    measure_name,
    measure_value,
    points,
    usd,
)
from rlaif_jax.visible import visible

_ARMS_IN_A_ROW = 4  # fit 80 columns


def results_table(results: StudyResults) -> Group:
    """Win rate, measures, calls, price and device time; an arm is a column."""
    names = list(results.arms)
    tables = [
        _table(results, names[start : start + _ARMS_IN_A_ROW])
        for start in range(0, len(names), _ARMS_IN_A_ROW)
    ]
    return Group(Text(visible(results.title), style="bold"), *tables)


def _table(results: StudyResults, names: list[str]) -> Table:
    """The figures of a few arms."""
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("")
    for name in names:
        table.add_column(Text(visible(name)), justify="right", overflow="fold")
    columns = [_figures(results, name) for name in names]
    for head in columns[0]:
        table.add_row(head, *(Text(column[head]) for column in columns))
    return table


def _figures(results: StudyResults, name: str) -> dict[str, str]:
    """What is told of one arm, in order."""
    shared = set.intersection(*(set(arm.measures) for arm in results.arms.values()))
    arm, rate, bill = (
        results.arms[name],
        results.win_rates()[name],
        results.bills()[name],
    )
    return {
        "Win rate, %": points(rate.value),
        "95 % interval": interval(rate.low, rate.high),
        **{
            visible(measure_name(measure)): measure_value(measure, value)
            for measure, value in arm.measures.items()
            if measure in shared
        },
        **({} if arm.prompts is None else {"Prompts": f"{arm.prompts:,}"}),
        "Tokens each": f"{arm.mean_completion_tokens:.1f}",
        "Calls": f"{bill.all_roles.calls:,}",
        "Price": usd(bill.all_roles.cost_usd),
        "To make it": usd(bill.making_usd),
        **({"Training FLOPs": f"{bill.flops:.2g}"} if bill.flops else {}),
        "Device": duration(bill.total_device_s),
    }
