"""Runs the command line as `python -m rlaif_jax`."""

from rlaif_jax.cli import main

if __name__ == "__main__":
    main()
