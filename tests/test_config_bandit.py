"""Tests of `rlaif_jax.config_bandit`."""

import pydantic
import pytest

from rlaif_jax.config_bandit import BanditConfig


@pytest.mark.parametrize(
    ("document", "named"),
    [
        ({"sizes": "huge"}, "notebook"),
        ({"seeds": []}, "at least 1"),
        ({"seeds": [1, 1]}, "a seed is there twice"),
        ({"seeds": [-1]}, "greater than or equal to 0"),
        ({"student_mean": 100}, "less than or equal to 99"),
        ({"teacher_sd": 0}, "greater than or equal to 0.5"),
        ({"beta": 0}, "greater than 0"),
        ({"num_pairs": 0}, "greater than or equal to 1"),
        ({"sft_steps": 0}, "greater than or equal to 1"),
        ({"sweep": {}}, "two values or more"),
        ({"sweep": {"beta": [0.1]}}, "two values or more"),
        ({"sweep": {"beta": [1, 0.1]}}, "beta must rise"),
        ({"sweep": {"student_mean": [40, 140]}}, "less than or equal to 99"),
        (
            {
                "sweep": {
                    "student_mean": [1, 2],
                    "teacher_mean": [1, 2],
                    "beta": [1, 2],
                    "samples": [1, 2, 3, 4, 5],
                }
            },
            "10 maps, more than 9",
        ),
    ],
)
def test_what_makes_no_bandit_is_refused(document, named):
    with pytest.raises(pydantic.ValidationError, match=named):
        BanditConfig.model_validate(document)
