"""A model folder: what a model is, its tokenizer, and where its checkpoints are."""

import dataclasses
from pathlib import Path

from rlaif_jax import log
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_json, write_atomic, write_json
from rlaif_jax.models.config import TransformerConfig

_log = log.logger(__name__)

_MODEL = "model.json"
_TOKENIZER = "tokenizer"
SWEEP = "sweep.json"  # of several model folders, the table that compares them
TOKENIZER_FILES = (
    "added_tokens.json",
    "chat_template.jinja",
    "chat_template.json",
    "merges.txt",
    "special_tokens_map.json",
    "spiece.model",
    "tokenizer.json",
    "tokenizer.model",
    "tokenizer_config.json",
    "vocab.json",
    "vocab.txt",
)
COMPANION_FILES = (*TOKENIZER_FILES, "generation_config.json")  # of a model's weights
_CHOICES = ("compute_dtype", "remat", "attention")  # of a run, not of the weights


@dataclasses.dataclass(frozen=True)
class ModelFolder:
    """Where one model lives, and its architecture."""

    config: TransformerConfig
    tokenizer_dir: Path
    path: Path

    @property
    def checkpoints(self) -> Path:
        """The folder of the steps."""
        return self.path / "checkpoints"


def create_folder(
    path: Path, config: TransformerConfig, tokenizer_dir: Path
) -> ModelFolder:
    """Makes a model folder, or finds it made by an earlier call with the same model.

    Args:
      path: Where; process 0 writes it, and all processes must see it.
      config: The architecture.
      tokenizer_dir: A folder with a Hugging Face tokenizer, whose files are copied
        as they are, and those of how to generate. If there are none, the model is
        kept without a tokenizer, which is good for weights alone.

    Returns:
      The folder.

    Raises:
      UsageError: If another model or tokenizer is there already.
    """
    folder = ModelFolder(config, path / _TOKENIZER, path)
    sources = [tokenizer_dir / n for n in COMPANION_FILES]
    sources = [source for source in sources if source.is_file()]

    def write() -> int:
        if (path / _MODEL).is_file():
            _require_same(folder, sources)
            return 0
        if not {source.name for source in sources} & set(TOKENIZER_FILES):
            _log.warning(f"{tokenizer_dir} has no tokenizer: {path} gets none")
        for source in sources:
            write_atomic(folder.tokenizer_dir / source.name, source.read_bytes())
        write_json(path / _MODEL, config.to_json())  # last: it makes the folder valid
        return 0

    on_first_process(write, what=f"create {path}")
    if not (path / _MODEL).is_file():
        raise UsageError(f"{path} is not shared by all hosts: process 0 wrote it")
    return folder


def open_folder(path: Path) -> ModelFolder:
    """The model folder at a path.

    Raises:
      UsageError: If there is none.
      CorruptDataError: If its `model.json` cannot be read.
    """
    if not (path / _MODEL).is_file():
        raise UsageError(f"no model folder at {path}: {_hint(path)}")
    config = TransformerConfig.from_json(read_json(path / _MODEL, "model config"))
    return ModelFolder(config, path / _TOKENIZER, path)


def _hint(path: Path) -> str:
    """What to do about a path without a model."""
    if (path / SWEEP).is_file():
        best = read_json(path / SWEEP, "result of a sweep")["best"]["folder"]
        return f"it holds the runs of a sweep, of which {path / best} is the best"
    foreign = (path / "config.json").is_file() and any(path.glob("*.safetensors"))
    return "run import-hf on it first" if foreign else "check the path"


def _require_same(folder: ModelFolder, tokenizer_files: list[Path]) -> None:
    """Refuses to mix two models in one folder."""
    there, here = open_folder(folder.path).config.to_json(), folder.config.to_json()
    for name in here.keys() - set(_CHOICES):
        if here[name] != there[name]:
            raise UsageError(
                f"{folder.path} holds another model, with {name} {there[name]!r} and "
                f"not {here[name]!r}: choose another folder"
            )
    for source in tokenizer_files:
        copy = folder.tokenizer_dir / source.name
        if not copy.is_file() or copy.read_bytes() != source.read_bytes():
            raise UsageError(
                f"{copy} is not the same as {source}: choose another folder"
            )
