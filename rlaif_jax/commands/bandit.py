"""`bandit`: the paper's Figure 6, computed and drawn, and a map around it."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.files import write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.typing import Json

_FIGURE = "bandit.png"
_MAP = "sweep.png"


def run(config: BanditConfig, out: Path, console: Console) -> Json:
    """Fits every seed at once, and writes the numbers and the figures."""
    from rlaif_jax.study.bandit import bandit_sizes, run_bandit
    from rlaif_jax.study.bandit_figure import draw_bandit

    write_run_info(out, config)
    pairs, demonstrations = bandit_sizes(config)
    console.say(
        f"fitting {len(config.seeds)} seeds to {pairs} pairs and"
        f" {demonstrations} demonstrations each"
    )
    result = run_bandit(config)
    draw_bandit(result, out / _FIGURE)
    document = result.to_json()
    write_json(out / "bandit.json", document)
    told = document | {"figure": str(out / _FIGURE)}
    return told if config.sweep is None else told | _sweep(config, out, console)


def _sweep(config: BanditConfig, out: Path, console: Console) -> Json:
    """Runs the grid; the points go into a file of their own, they may be many."""
    from rlaif_jax.study.bandit_map import draw_sweep
    from rlaif_jax.study.bandit_sweep import run_sweep

    console.say("fitting the sweep's students and teachers")
    result = run_sweep(config)
    draw_sweep(result, out / _MAP)
    document = result.to_json()
    write_json(out / "sweep.json", document)
    summary = {key: value for key, value in document.items() if key != "points"}
    return {"sweep": summary | {"figure": str(out / _MAP)}}


def show(result: Json, out: Path) -> None:
    """Prints what each policy expects, and where RLAIF overtakes SFT."""
    del out
    for name in ("student", "teacher", "rlaif", "sft"):
        reward, spread = result["expected_reward"][name], result["policy_sd"][name]
        wins = result["win_rate_against_teacher"][name]
        print(
            f"{name:8} expected reward {reward:6.2f}   policy sd {spread:5.2f}"
            f"   beats the teacher {wins:5.2f} %"
        )
    print(f"figure: {result['figure']}")
    if "sweep" in result:
        for border in result["sweep"]["border"]:
            print(border["sentence"])
        print(f"map: {result['sweep']['figure']}")
