"""Tests of `rlaif_jax.study.page`."""

from rlaif_jax.study.page import Scale, study_page


def test_a_scale_places_values_in_percent_of_its_width():
    scale = Scale(-10.0, 30.0)
    assert [scale.place(value) for value in (-10.0, 0.0, 30.0)] == [
        "0.00%",
        "25.00%",
        "100.00%",
    ]


def test_the_headline_is_the_larger_arm_over_the_other(make_study, tmp_path):
    free = make_study(stages=(), curves=())
    pair = study_page(free, (), name="", figures=tmp_path).headline_difference
    assert pair is not None
    assert {pair.a, pair.b} == {"sft_strong", "rlaif_weak"}
    assert pair.estimate.value >= 0


def test_measures_that_an_arm_lacks_are_left_out(make_study, tmp_path):
    study = make_study(curves=(), stages=())
    arm = study.arms["sft_weak"]
    poorer = tuple(
        seed.model_copy(update={"measures": {"accuracy": 0.5}}) for seed in arm.seeds
    )
    arms = study.arms | {"sft_weak": arm.model_copy(update={"seeds": poorer})}
    page = study_page(
        study.model_copy(update={"arms": arms}), (), name="", figures=tmp_path
    )
    assert page.measures == ["accuracy"]
