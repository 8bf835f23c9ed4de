"""The figure of `benchmarks/label.py`."""

from pathlib import Path
from typing import Any

OURS, OTHERS = "#1f5fa8", "#9aa5b1"


def draw(races: list[dict[str, Any]], path: Path) -> None:
    """Writes one panel a race: the steady rate of each arm, and every round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    num_columns = min(2, len(races))
    num_rows = -(-len(races) // num_columns)
    figure, panels = pyplot.subplots(
        num_rows,
        num_columns,
        figsize=(5.0 * num_columns, 3.2 * num_rows),
        layout="constrained",
        squeeze=False,
    )
    for panel, race in zip(panels.flat, races, strict=False):
        _panel(panel, race)
    for panel in panels.flat[len(races) :]:
        panel.set_axis_off()
    figure.savefig(path, dpi=150)
    pyplot.close(figure)


def _panel(panel: Any, race: dict[str, Any]) -> None:
    known = {arm: row for arm, row in race["arms"].items() if "failed" not in row}
    arms = sorted(known, key=lambda arm: known[arm]["steady_calls_per_second"])
    rates = [known[arm]["steady_calls_per_second"] for arm in arms]
    colors = [OURS if arm.startswith("ours") else OTHERS for arm in arms]
    panel.barh(arms, rates, color=colors)
    for place, arm in enumerate(arms):
        rounds = known[arm]["all_steady"]
        panel.plot(rounds, [place] * len(rounds), "o", ms=3, color="black")
        text = f"{known[arm]['cpu_ms_a_call']:.2f} ms"
        at = max(*rounds, rates[place])
        panel.annotate(
            text, (at, place), (6, 0), textcoords="offset points", va="center"
        )
    panel.set_title(
        f"{race['in_flight']} at a time, {race['latency_s']:g} s latency",
        loc="left",
        fontweight="bold",
    )
    panel.set_xlabel("calls a second; processor time of a call")
    most = [rate for arm in arms for rate in known[arm]["all_steady"]]
    panel.set_xlim(0, 1.3 * max([1.0, *most]))
    panel.spines[["top", "right"]].set_visible(False)
