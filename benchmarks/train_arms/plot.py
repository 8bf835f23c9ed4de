"""The figure of `benchmarks/train.py`."""

from pathlib import Path
from typing import Any

TITLES = {
    "sft-full": "SFT, 8 rows of 512",
    "dpo-full": "DPO, 8 pairs of 3 x 256",
    "sft-real": "SFT, AlpacaEval's lengths",
    "dpo-real": "DPO, AlpacaEval's lengths",
}
OURS, OTHERS = "#1f5fa8", "#9aa5b1"
MINE = ("packed", "padded")


def draw(races: dict[str, Any], path: Path) -> None:
    """Writes one panel a race: the median rate of each arm, and every round."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    num_columns = min(2, len(races))
    num_rows = -(-len(races) // 2)
    figure, panels = pyplot.subplots(
        num_rows,
        num_columns,
        figsize=(5.5 * num_columns, 3.2 * num_rows),
        layout="constrained",
        squeeze=False,
    )
    for panel, (race, rows) in zip(panels.flat, races.items(), strict=False):
        known = {arm: row for arm, row in rows.items() if "failed" not in row}
        arms = sorted(known, key=lambda arm: known[arm]["median"])
        medians = [known[arm]["median"] for arm in arms]
        colors = [OURS if arm.startswith(MINE) else OTHERS for arm in arms]
        panel.barh(arms, medians, color=colors)
        for place, arm in enumerate(arms):
            rates = known[arm]["items_per_second"]
            panel.plot(rates, [place] * len(rates), "o", ms=3, color="black")
            ratio = known[arm]["median_ratio"]
            if arm != "packed" and ratio is not None:
                text = f"packed is {ratio:.2f} x this"
                at = max(*rates, medians[place])
                panel.annotate(
                    text, (at, place), (6, 0), textcoords="offset points", va="center"
                )
        panel.set_title(TITLES[race], loc="left", fontweight="bold")
        panel.set_xlabel("pairs a second" if "dpo" in race else "examples a second")
        panel.set_xlim(0, 1.32 * max([1.0, *medians]))
        panel.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, dpi=150)
    pyplot.close(figure)
