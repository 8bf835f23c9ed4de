"""Controlled comparison of SFT and AI feedback (DPO) for language models, in JAX."""

__version__ = "0.1.0"
