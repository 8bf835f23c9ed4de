"""Tests of `rlaif_jax.checkpoint.families.family`."""

from rlaif_jax.checkpoint.families import FAMILIES
from rlaif_jax.models.registry import PRESETS


def test_families_are_told_apart_by_name_class_and_type():
    families = list(FAMILIES.values())
    for field in ("name", "architecture", "model_type"):
        assert len({getattr(family, field) for family in families}) == len(families)


def test_every_family_has_a_preset_and_every_preset_a_family():
    assert {config.family for config in PRESETS.values()} == FAMILIES.keys()
