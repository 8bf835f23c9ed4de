"""Prompts, token rows and preference shards: plain Python and NumPy, no JAX."""
