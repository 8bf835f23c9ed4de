"""`bandit`: the paper's Figure 6, computed and drawn."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.config import BanditConfig
from rlaif_jax.files import write_json
from rlaif_jax.provenance import write_run_info
from rlaif_jax.typing import Json

_FIGURE = "bandit.png"


def run(config: BanditConfig, out: Path, console: Console) -> Json:
    """Fits every seed at once, and writes the numbers and the figure."""
    from rlaif_jax.study.bandit import draw_bandit, run_bandit

    write_run_info(out, config)
    console.say(f"fitting {len(config.seeds)} seeds of {config.sizes} sizes")
    result = run_bandit(config.sizes, config.seeds, beta=config.beta)
    draw_bandit(result, out / _FIGURE)
    document = result.to_json()
    write_json(out / "bandit.json", document)
    return document | {"figure": str(out / _FIGURE)}


def show(result: Json, out: Path) -> None:
    """Prints the expected true reward of each policy."""
    del out
    for name in ("student", "teacher", "rlaif", "sft"):
        reward, spread = result["expected_reward"][name], result["policy_sd"][name]
        print(f"{name:8} expected reward {reward:6.2f}   policy sd {spread:5.2f}")
    print(f"figure: {result['figure']}")
