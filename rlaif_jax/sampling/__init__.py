"""Completions from a policy: which token comes next, and when to stop."""
