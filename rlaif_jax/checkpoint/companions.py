"""What lies beside exported weights: model card, tokenizer, how to generate."""

from pathlib import Path

from rlaif_jax.checkpoint.card import MARK, NAME, Lineage, card_text
from rlaif_jax.checkpoint.folder import COMPANION_FILES
from rlaif_jax.errors import UsageError
from rlaif_jax.files import write_atomic, write_json
from rlaif_jax.models import TransformerConfig

_GENERATION = "generation_config.json"


def write_companions(
    out: Path,
    config: TransformerConfig,
    *,
    tokenizer_dir: Path,
    lineage: Lineage,
    dtype: str,
) -> None:
    """Makes a folder ready for weights.

    Args:
      out: The folder; created if need be. Weights that an earlier export left there
        may be replaced.
      config: The architecture; with adapters, it is these that will be written.
      tokenizer_dir: Whose tokenizer and generation files are copied.
      lineage: How the model was made.
      dtype: Of the tensors that will be written.

    Raises:
      UsageError: If `out` holds weights that no export wrote, or there is no
        tokenizer.
    """
    _require_own(out)
    out.mkdir(parents=True, exist_ok=True)
    write_atomic(out / NAME, card_text(config, lineage, dtype=dtype))
    _copy(tokenizer_dir, out)
    if not (tokenizer_dir / _GENERATION).is_file():
        ends = {
            "bos_token_id": config.bos_token_id,
            "eos_token_id": config.eos_token_id,
        }
        write_json(out / _GENERATION, ends)


def _copy(source: Path, target: Path) -> None:
    """Copies the files of tokenizer and generation, and nothing else."""
    present = [name for name in COMPANION_FILES if (source / name).is_file()]
    if not {"tokenizer.json", "tokenizer.model", "vocab.json"} & set(present):
        raise UsageError(f"no tokenizer in {source}: tokenizer.json is expected")
    for name in present:
        write_atomic(target / name, (source / name).read_bytes())


def _require_own(out: Path) -> None:
    """Refuses to replace weights that no export wrote."""
    foreign = sorted(out.glob("*.safetensors")) if out.is_dir() else []
    card = out / NAME
    if foreign and not (card.is_file() and MARK in card.read_text("utf-8")):
        raise UsageError(
            f"{foreign[0]} was not written by export-hf: choose another folder"
        )
