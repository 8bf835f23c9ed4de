"""`inspect`: log-ratios of a policy to its reference on preference shards."""

from pathlib import Path

from rlaif_jax.commands.console import Console
from rlaif_jax.commands.policy import load_policy, open_devices
from rlaif_jax.commands.rows import run_rows
from rlaif_jax.config import InspectConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.figures import save_figure
from rlaif_jax.files import write_json
from rlaif_jax.inspection.figures import histogram, margin_by_length
from rlaif_jax.inspection.log_ratios import log_ratios
from rlaif_jax.inspection.logged import read_pairs
from rlaif_jax.inspection.scorer import Model, PairScorer
from rlaif_jax.run_folder import claim
from rlaif_jax.typing import Json


def run(config: InspectConfig, out: Path, console: Console) -> Json:
    """Scores every pair under both models; writes a table and two figures."""
    with open_devices(config.mesh) as mesh:
        rows = run_rows(config, mesh, num_completions=2)
        policy, reference = (
            load_policy(model, mesh, rows=rows.needs, num_tokens=rows.length)
            for model in (config.policy, config.reference)
        )
        pairs = read_pairs(config.preferences, policy.tokenizer, config.tokens)
        if not pairs:
            raise UsageError(f"{config.preferences} has no sealed pair yet")
        claim(out, config)
        console.say(f"scoring {len(pairs)} pairs under two models")
        ratios = log_ratios(
            Model(policy.config, policy.params),
            Model(reference.config, reference.params),
            pairs,
            scorer=PairScorer(
                mesh=mesh, layout=rows.layout, batch_size=config.batch_size
            ),
            beta=config.beta,
            num_strips=0,
        )
        ratios.write(out / "log_ratios.parquet")
        save_figure(histogram(ratios), out / "log_ratios.png")
        save_figure(margin_by_length(ratios), out / "margin_by_length.png")
        result = {"pairs": len(pairs), **ratios.means(), "folder": str(out)}
        write_json(out / "inspect.json", result)
        return result


def show(result: Json, out: Path) -> None:
    """Prints the means and where the table is."""
    for name, value in result.items():
        if isinstance(value, float):
            print(f"{name:24} {value:10.4f}")
    print(f"{result['pairs']} pairs: {out / 'log_ratios.parquet'}")
