"""Weights and training states on disk: our checkpoints, and Hugging Face files."""

from rlaif_jax.checkpoint.hf import export_hf, import_folder, import_hf

__all__ = ["export_hf", "import_folder", "import_hf"]
