"""A study's arms as a table for the terminal."""

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
    visible,
)


def results_table(results: StudyResults) -> Table:
    """Win rate, measures, price and device time of every arm."""
    shared = set.intersection(*(set(arm.measures) for arm in results.arms.values()))
    first = next(iter(results.arms.values()))
    measures = [name for name in first.measures if name in shared]
    table = Table(title=Text(visible(results.title)), title_justify="left")
    table.add_column("Arm")
    heads = ["Win rate", "95 % interval", *map(measure_name, measures)]
    for head in [*heads, "Tokens each", "Calls", "Price", "Device"]:
        table.add_column(Text(visible(head)), justify="right")
    bills, rates = results.bills(), results.win_rates()
    for name, arm in results.arms.items():
        rate, bill = rates[name], bills[name]
        cells = [
            name,
            points(rate.value),
            interval(rate.low, rate.high),
            *(measure_value(measure, arm.measures[measure]) for measure in measures),
            f"{arm.mean_completion_tokens:.1f}",
            f"{bill.all_roles.calls:,}",
            usd(bill.all_roles.cost_usd),
            duration(bill.total_device_s),
        ]
        table.add_row(*(Text(visible(cell)) for cell in cells))
    return table
