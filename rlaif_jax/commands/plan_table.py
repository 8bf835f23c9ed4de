"""How a plan is printed."""

from pathlib import Path

from rlaif_jax.typing import Json

_GIB, _MIB, _TERA, _GIGA = 2**30, 2**20, 1e12, 1e9
_SHOWN = 10  # candidates of a search


def show(result: Json, out: Path) -> None:
    """Prints what a search tried, and a table with a column a step."""
    if "candidates" in result:
        _show_candidates(result["candidates"])
    if result["steps"]:
        _show_steps(result)
    if result["run"] is not None:
        print(_told(result["run"]))
    print(_verdict(result))
    if result.get("overrides"):
        print(" ".join(result["overrides"]))
    print(out / "plan.json")


def _verdict(result: Json) -> str:
    """Whether it fits, and who says so."""
    if not result["steps"]:
        return "nothing fits: more chips, or docs/plan.md has remedies"
    verdict = (
        "it fits" if result["fits"] else "it does not fit: docs/plan.md has remedies"
    )
    if result["by"] == "compiler":
        return verdict
    return (
        f"{verdict}, by the model of docs/plan.md: no compiler has said so, and within"
        f" {result['margin']:.0%} of the limit neither is certain"
    )


def _show_candidates(candidates: list[Json]) -> None:
    """A line a candidate that was not dropped, the best first."""
    kept = [one for one in candidates if one["dropped"] is None]
    print(f"{len(candidates)} candidates, {len(kept)} of them not dropped:")
    print(f"  {'':56}{'GiB a chip':>12}{'ms':>18}{'by':>10}")
    for one in kept[:_SHOWN]:
        low, high = (1e3 * seconds for seconds in one["seconds"])
        print(
            f"  {' '.join(one['overrides']):56}{one['bytes_per_chip'] / _GIB:12.2f}"
            f"{f'{low:,.0f} to {high:,.0f}':>18}{one['by']:>10}"
        )
    print()


def _show_steps(result: Json) -> None:
    chips, steps = result["chips"], result["steps"]
    limit = result["hbm_bytes_per_chip"] / _GIB
    print(f"{result['verb']} on {result['topology']}, {chips} chips of {limit:.4g} GiB")
    columns = [_column(one) for one in steps]
    print(f"  {'':32}" + "".join(f"{one['name']:>14}" for one in steps))
    for label in _labels(columns):
        cells = (column.get(label, "-") for column in columns)
        print(f"  {label:32}" + "".join(f"{cell:>14}" for cell in cells))
    for one in steps:
        for num_bytes, what in one["whole"]:
            print(f"{one['name']}: {num_bytes / _MIB:,.0f} MiB on every chip: {what}")
    if any(one["fits"] and one["link_s"] is None for one in steps):
        print("what goes to other hosts is in no time: link_gbps= tells how fast it is")


def _labels(columns: list[dict[str, str]]) -> list[str]:
    """All rows of the table, each behind the one that it follows in its column."""
    labels: list[str] = []
    for column in columns:
        place = 0
        for label in column:
            if label not in labels:
                labels.insert(place, label)
            place = labels.index(label) + 1
    return labels


def _column(one: Json) -> dict[str, str]:
    """What is shown of a step."""
    column = {
        "GiB a chip": f"{one['bytes_per_chip'] / _GIB:.2f}",
        "TFLOP": f"{one['flops'] / _TERA:,.1f}",
        "TFLOP, with recomputed layers": f"{one['executed_flops'] / _TERA:,.1f}",
    }
    if not one["fits"]:
        return column
    column |= {
        "  arguments": f"{one['argument_bytes'] / _GIB:.2f}",
        "  temporaries": f"{one['temporary_bytes'] / _GIB:.2f}",
        "GiB of its host": f"{one['host_bytes'] / _GIB:.2f}",
        "GB sent by a chip": f"{sum(one['collective_bytes'].values()) / _GIGA:.2f}",
    }
    for kind, size in sorted(one["collective_bytes"].items()):
        column[f"  {kind}"] = f"{size / _GIGA:.2f}"
    return column | {
        "GB of memory traffic": f"{one['memory_traffic'] / _GIGA:.1f}",
        "FLOP a byte": f"{one['flops_per_byte']:.0f}",
        "ms of operations": f"{1e3 * one['compute_s']:.1f}",
        "ms of memory": f"{1e3 * one['memory_s']:.1f}",
        "ms of links": _milliseconds(one["link_s"]),
        "ms of the network between slices": f"{1e3 * one['network_s']:.1f}",
        "ms, all at once": f"{1e3 * one['least_seconds']:.1f}",
        "ms, one after the other": f"{1e3 * one['serial_seconds']:.1f}",
        "MFU at most": f"{one['mfu_bound']:.1%}",
        "tokens/s at most": f"{one['tokens'] / one['least_seconds']:,.0f}",
        **_compiling(one),
    }


def _milliseconds(seconds: float | None) -> str:
    return "unknown" if seconds is None else f"{1e3 * seconds:.1f}"


def _compiling(one: Json) -> dict[str, str]:
    """What compiling took; nothing of the model's."""
    if one["by"] == "model":
        return {}
    return {
        "seconds of compiling": f"{one['compile_s']:.1f}",
        "GiB of compiling": f"{one['host_peak_bytes'] / _GIB:.1f}",
    }


def _told(bill: Json) -> str:
    """The bill in a line."""
    low, high = bill["hours"]
    text = f"{bill['steps']} steps: {low:.2f} to {high:.2f} hours"
    if "usd" in bill:
        low, high = bill["usd"]
        text += f", {low:,.2f} to {high:,.2f} USD"
    return text
