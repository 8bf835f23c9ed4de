"""Held-out judgement of finished policies: win rates and paired differences."""
