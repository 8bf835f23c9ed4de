"""Tests of `rlaif_jax.study.settings`."""

from rlaif_jax.study.settings import ABSENT, Setting, differing_settings

PROMPTS = {"limit": 3000, "source": {"path": "a.jsonl"}}


def sft(**changes):
    recipe = {"epochs": 3, "splits": ["sft", "aif"], "prompts": "stage:1/p.jsonl"}
    return recipe | changes


def test_only_keys_that_differ_are_told_in_the_order_of_the_pipeline():
    found = differing_settings(
        {
            "a": {"prompts": PROMPTS, "sft": sft()},
            "b": {"prompts": PROMPTS, "sft": sft(epochs=8, splits=["sft"])},
        }
    )
    assert found == (
        Setting(key="sft.epochs", values={"a": "3", "b": "8"}),
        Setting(key="sft.splits", values={"a": "sft, aif", "b": "sft"}),
    )


def test_another_stage_as_input_is_no_difference_of_its_own():
    found = differing_settings(
        {"a": {"sft": sft(prompts="stage:1/x")}, "b": {"sft": sft(prompts="stage:2/x")}}
    )
    assert found == ()


def test_a_step_that_an_arm_goes_without_is_one_line():
    found = differing_settings(
        {"a": {"sft": sft()}, "b": {"sft": sft(), "dpo": {"loss": {"beta": 0.1}}}}
    )
    assert found == (Setting(key="dpo", values={"a": ABSENT, "b": "yes"}),)


def test_arms_that_share_a_step_are_compared_in_it():
    found = differing_settings(
        {
            "a": {},
            "b": {"dpo": {"loss": {"beta": 0.1}, "lora": None}},
            "c": {"dpo": {"loss": {"beta": 0.5}, "lora": None}},
        }
    )
    assert [setting.key for setting in found] == ["dpo", "dpo.loss.beta"]
    assert found[1].values == {"a": ABSENT, "b": "0.1", "c": "0.5"}


def test_an_option_that_one_arm_lacks_differs():
    found = differing_settings({"a": {"sft": {"x": None}}, "b": {"sft": {}}})
    assert found == (Setting(key="sft.x", values={"a": "null", "b": ABSENT}),)


def test_arms_are_grouped_by_their_value():
    setting = Setting(key="sft.epochs", values={"a": "3", "b": "8", "c": "3"})
    assert setting.by_value() == {"3": ["a", "c"], "8": ["b"]}
