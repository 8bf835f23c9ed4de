"""The machine: accelerators, their settings, and starting several hosts as one run."""
