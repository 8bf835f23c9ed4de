"""Models on the Hugging Face hub, at one commit."""

from pathlib import Path

from rlaif_jax.checkpoint.folder import COMPANION_FILES
from rlaif_jax.errors import UsageError

_NEEDED = ["config.json", "model*.safetensors", "model.safetensors.index.json"]


def download(repo: str, revision: str, *, endpoint: str | None = None) -> Path:
    """The folder of a model's files in the hub's cache, downloaded where missing.

    Pickled weights, code and everything else that is not read stays on the hub. A
    token is taken from where the hub's own tools keep it (`HF_TOKEN`).

    Args:
      repo: OWNER/NAME.
      revision: A commit's hash.
      endpoint: The hub's address; `HF_ENDPOINT` or huggingface.co if None.

    Raises:
      UsageError: If there is no such model or commit, it is not allowed, or the hub
        cannot be reached and the cache does not have it.
    """
    import httpx2  # a second to import: only who downloads pays
    from huggingface_hub import snapshot_download

    try:
        folder = snapshot_download(
            repo,
            revision=revision,
            endpoint=endpoint,
            allow_patterns=[*_NEEDED, *COMPANION_FILES],
        )
    except (httpx2.HTTPError, OSError, ValueError) as error:
        reason = " ".join(str(error).split())[:200]
        raise UsageError(
            f"cannot get {repo} at {revision} from the hub: {reason}; check both, or"
            " give a local folder"
        ) from error
    return Path(folder)
