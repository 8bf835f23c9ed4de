"""The table of variants."""

from typing import get_args

import pytest

from rlaif_jax.config import LabConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.lab.variants import VARIANTS, critics, teachers, variant_named


def test_the_default_numbers_are_the_recommended_ones():
    default = VARIANTS["default"]
    assert (default.weak_skill, default.weak_style) == (0.55, 0.40)
    assert (default.strong_skill, default.strong_style) == (0.95, 0.95)
    assert default.pretraining_steps == 4000


def test_every_other_variant_differs_from_the_default():
    assert len(set(VARIANTS.values())) == len(VARIANTS)


def test_a_variant_changes_who_is_behind_the_served_names():
    poorer = teachers(VARIANTS["poorer_strong_teacher"])["lab-teacher-strong"]
    assert (poorer.skill, poorer.style) == (0.70, 0.50)
    judges = critics(VARIANTS["weak_critic"])
    assert judges["lab-critic-strong"].accuracy == 0.70
    assert judges["lab-evaluator"].accuracy == 0.95  # the measure does not change
    assert critics(VARIANTS["no_style"])["lab-evaluator"].style_weight == 0.0
    assert VARIANTS["undertrained"].pretraining_steps == 800


def test_the_config_knows_the_same_variants():
    annotation = LabConfig.model_fields["variant"].annotation
    assert set(get_args(annotation)) == set(VARIANTS)


def test_an_unknown_variant_is_refused_with_the_known_ones():
    with pytest.raises(UsageError, match=r"'hard'.*default.*no_style"):
        variant_named("hard")


def test_the_other_family_stands_between_the_weak_and_the_strong():
    who = teachers(VARIANTS["default"])
    skills = [who[f"lab-teacher-{name}"].skill for name in ("weak", "other", "strong")]
    assert skills == sorted(skills)
    judges = critics(VARIANTS["default"])
    accuracies = [
        judges[f"lab-critic-{name}"].accuracy for name in ("weak", "other", "strong")
    ]
    assert accuracies == sorted(accuracies)
    one, other = judges["lab-evaluator"], judges["lab-evaluator-other"]
    assert one.accuracy == other.accuracy
