"""Tests of `rlaif_jax.config_file`."""

from pathlib import Path

import pytest

from rlaif_jax.config import (
    CompleteConfig,
    EvaluateConfig,
    ImportConfig,
    LabelConfig,
    PromptsConfig,
)
from rlaif_jax.config_bandit import BanditConfig
from rlaif_jax.config_file import config_keys, load_config, read_yaml
from rlaif_jax.config_training import DpoConfig, SftConfig
from rlaif_jax.errors import UsageError
from rlaif_jax.study.config import StudyConfig

STUDY = Path(__file__).parents[1] / "configs" / "study" / "mistral_7b.yaml"
SFT = """
model: {path: runs/base}
prompts: p.jsonl
completions: c.jsonl
optimizer:
  name: rmsprop
  learning_rate: 5e-7
"""


@pytest.fixture
def sft(tmp_path):
    path = tmp_path / "sft.yaml"
    path.write_text(SFT)
    return str(path)


def test_yaml_1_2_reads_a_bare_exponent_as_a_number(sft):
    assert load_config(SftConfig, [sft]).optimizer.learning_rate == 5e-7


def test_overrides_win_and_reach_nested_keys(sft):
    config = load_config(SftConfig, [sft, "optimizer.decay=0.9", "splits=[sft, aif]"])
    assert config.optimizer.model_dump()["decay"] == 0.9
    assert config.splits == ("sft", "aif")


def test_no_is_a_string(tmp_path):
    path = tmp_path / "x.yaml"
    path.write_text("country: no\n")
    assert read_yaml(path) == {"country": "no"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", r"x\.yaml:2 .*duplicate key"),
        ("- 1\n", "list, not a mapping"),
        ("a: [1\n", "not valid YAML"),
    ],
)
def test_bad_yaml_is_named(tmp_path, text, message):
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(UsageError, match=message):
        read_yaml(path)


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("optimizer.lerning_rate=1", "lerning_rate'.*'optimizer.learning_rate'"),
        ("optimizer.b1=0.9", "'optimizer.b1'; the keys there are decay, end_fr"),
        ("optimizer.name=adam", r"one of adamw, rmsprop, adafactor \(got 'adam'\)"),
        ("modle.path=x", "'modle'; did you mean 'model'"),
        ("batch_size=zero", "batch_size.*got 'zero'"),
        ("model.preset=lab-tiny", "either model.path or model.preset"),
        ("model.init_seed=1", "go with model.preset"),
        ("mesh.data=0", "at least one device"),
        ("model.path.x=1", "model.path|path is 'runs/base'"),
    ],
)
def test_a_wrong_key_or_value_is_named(sft, override, message):
    with pytest.raises(UsageError, match=message):
        load_config(SftConfig, [sft, override])


def test_a_missing_key_and_a_missing_file_are_named(sft, tmp_path):
    with pytest.raises(UsageError, match="'model' is missing"):
        load_config(SftConfig, ["prompts=p"])
    with pytest.raises(UsageError, match=r"no config at .*nope\.yaml"):
        load_config(SftConfig, [str(tmp_path / "nope.yaml")])
    with pytest.raises(UsageError, match="is not key=value"):
        load_config(SftConfig, [sft, "stray"])


def test_recorded_stands_alone():
    with pytest.raises(UsageError, match="stands alone"):
        load_config(EvaluateConfig, ["recorded=x", "prompts=y"])


def test_recorded_judgments_have_no_order_to_choose():
    critic = ["critic.api=recorded", "critic.file=x", "orders=hashed"]
    with pytest.raises(UsageError, match="orders is for critics that are asked"):
        load_config(LabelConfig, ["prompts=p", "first=a", "second=b", *critic])


SEAT = "{api: openai, base_url: x, model: m}"
RECORDED = "{api: recorded, file: x}"
DECISIONS = "{api: openai_decisions, base_url: x, model: m, verdicts: soft, "


@pytest.mark.parametrize(
    ("critic", "message"),
    [
        ("{api: anthropic, base_url: x, model: m, verdicts: soft}", "api=anthropic"),
        ("{api: openai, base_url: x, model: m, votes: 0}", r"votes.*got 0"),
        (
            "{api: anthropic, base_url: x, model: m, reasoning_effort: none}",
            "low, medium, high, xhigh or max: 'none'",
        ),
        (
            f"{SEAT[:-1]}, verdicts: soft, reasoning_effort: low}}",
            "reasoning_effort=none instead of low",
        ),
        (
            "{api: anthropic, base_url: x, model: m, constrain: structured_outputs}",
            "not of api=anthropic: use constrain=json_schema",
        ),
        ("{api: openai_decisions, base_url: x, model: m}", "set verdicts=soft"),
        (DECISIONS + "temperature: 0}", "has no temperature: leave that out"),
        (DECISIONS + "votes: 2, max_tokens: 8}", "has no max_tokens, votes: leave"),
        (DECISIONS + "constrain: json_schema}", "has no constrain"),
        (DECISIONS + "reasoning_effort: none}", "has no reasoning_effort"),
        (DECISIONS + "usd_per_million_output_tokens: 1}", "has no usd_per_million_out"),
        ("{api: openai, base_url: x, model: m, verdicts: weak}", "'hard' or 'soft'"),
        (f"{{api: jury, critics: [{SEAT}]}}", "at least 2 items"),
        (f"{{api: jury, critics: [{SEAT}, {SEAT}]}}", "critics.1 is in the jury"),
        ("{api: jury, critics: [{api: jury}, {api: x}]}", r"critics\.0\.api must be"),
        ("{api: poll}", r"must be one of openai, openai_r.*, anthropic, rec.*, jury"),
        ("{api: recorded, file: x, votes: 3}", "unknown config key 'critic.votes'"),
    ],
)
def test_a_critic_that_makes_no_sense_is_refused(critic, message):
    critic = f"critic={critic}"
    with pytest.raises(UsageError, match=message):
        load_config(LabelConfig, ["prompts=p", "first=a", "second=b", critic])


def test_a_jury_of_files_has_no_order_and_a_teacher_no_template():
    jury = f"critic={{api: jury, critics: [{RECORDED}, {{api: recorded, file: y}}]}}"
    arguments = ["prompts=p", "first=a", "second=b", jury]
    assert len(load_config(LabelConfig, arguments).critic.critics) == 2
    with pytest.raises(UsageError, match="orders is for critics that are asked"):
        load_config(LabelConfig, [*arguments, "orders=hashed"])
    with pytest.raises(UsageError, match=r"unknown config key 'teacher\.template'"):
        load_config(
            CompleteConfig, ["prompts=p", f"teacher={SEAT}", "teacher.template=x"]
        )


@pytest.mark.parametrize(
    ("teacher", "message"),
    [
        (RECORDED, "samples=2, but a recorded teacher has one completion"),
        (SEAT.replace("}", ", temperature: 0}"), "samples=2 .* would all be the same"),
    ],
)
def test_samples_that_could_not_differ_are_refused(teacher, message):
    arguments = ["prompts=p", f"teacher={teacher}"]
    assert load_config(CompleteConfig, arguments).samples == 1
    with pytest.raises(UsageError, match=message):
        load_config(CompleteConfig, [*arguments, "samples=2"])


def test_what_only_chooses_cannot_write():
    arguments = ["prompts=p", "teacher={api: openai_decisions, base_url: x, model: m}"]
    with pytest.raises(UsageError, match=r"teacher.*judges and writes nothing"):
        load_config(CompleteConfig, arguments)
    critic = f"critic={DECISIONS}usd_per_million_output_tokens: 0}}"
    load_config(LabelConfig, ["prompts=p", "first=a", "second=b", critic])


def test_the_best_of_two_needs_no_option():
    arguments = ["prompts=p", "first=a", "second=b", f"critic={SEAT}"]
    with pytest.raises(UsageError, match="needs more than two candidates: others"):
        load_config(LabelConfig, [*arguments, "pairs=best_worst"])
    load_config(LabelConfig, [*arguments, "pairs=best_worst", "others=[c]"])


def test_every_key_of_a_config_is_told_with_its_comment():
    rows = {row.key: row.text for row in config_keys(SftConfig)}
    assert rows["optimizer.max_grad_norm"].endswith("# global L2 norm")
    assert "required" in rows["prompts"]
    assert {"mesh.fsdp", "tokens.template", "checkpoint.keep"} <= rows.keys()


def test_a_missing_choice_is_told_with_what_there_is(tmp_path):
    document = ["model.path=x", "preferences=y", "optimizer.learning_rate=1"]
    with pytest.raises(UsageError, match=r"optimizer\.name must be one of adamw, rmsp"):
        load_config(DpoConfig, document)


def test_help_tells_what_belongs_to_which_alternative():
    rows = {row.key: row.text for row in config_keys(LabelConfig)}
    asked = "openai | openai_responses | openai_decisions | anthropic"
    assert rows["critic.api"] == f"{asked} | recorded | jury required"
    assert rows["critic.file"].startswith("[recorded] path required")
    assert rows["critic.votes"].startswith(f"[{asked}] int = 1  # times")
    assert rows["critic.critics[].api"].startswith(f"[jury] {asked} | rec")
    assert rows["orders"].startswith("both | hashed = both")
    rows = {row.key: row.text for row in config_keys(PromptsConfig)}
    assert rows["fractions"].startswith("mapping of text to float = {'sft': 0.1")
    assert rows["limit"].startswith("int | null = null")
    rows = {row.key: row.text for row in config_keys(StudyConfig)}
    assert rows["teachers.NAME.base_url"].startswith("[all but recorded] text req")


def test_help_names_the_key_that_chooses_though_others_take_literals_before_it():
    rows = [row for row in config_keys(SftConfig) if row.key.startswith("optimizer.")]
    keys = [row.key for row in rows]
    assert rows[0] == ("optimizer.name", "adamw | rmsprop | adafactor required")
    assert keys.count("optimizer.name") == keys.count("optimizer.schedule") == 1
    texts = {row.key: row.text for row in rows}
    assert texts["optimizer.schedule"].startswith("constant | linear | cosine =")
    assert texts["optimizer.moments"].startswith("[adamw | rmsprop] float32 | int8")


def test_help_has_a_line_for_every_way_to_take_a_key():
    rows = [row for row in config_keys(DpoConfig) if row.key.startswith("loss.")]
    assert rows[0].text.startswith("dpo | robust |") and rows[0].text.endswith("= dpo")
    betas = [row.text for row in rows if row.key == "loss.beta"]
    assert betas[0].startswith("[all but ipo_mean | sigmoid_norm | simpo | orpo] flo")
    assert betas[1].startswith("[ipo_mean | sigmoid_norm] float = 5.0  # pull")
    shown = {row.key: row.text for row in rows}
    assert shown["loss.sft"].startswith("[all but orpo] mapping | null = null  # also")
    assert shown["loss.gamma"].startswith("[simpo] float = 1.0  # margin")


def test_help_tells_the_type_below_its_limits():
    rows = {row.key: row.text for row in config_keys(BanditConfig)}
    assert rows["seeds"].startswith("list of int = [0,")
    assert rows["num_pairs"].startswith("int | null = null")


def test_an_unknown_key_is_looked_for_deeper():
    with pytest.raises(UsageError, match=r"'learning_rate'; did you mean 'optimizer\."):
        load_config(DpoConfig, ["learning_rate=1"])
    with pytest.raises(UsageError, match=r"did you mean 'dpo\.loss\.beta'"):
        load_config(StudyConfig, [str(STUDY), "dpo.beta=1"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give either folder or repo"),
        (["folder=x", "repo=a/b", f"revision={'a' * 40}"], "give either folder or"),
        (["repo=a/b"], "repo and revision go together"),
        (["folder=x", f"revision={'a' * 40}"], "repo and revision go together"),
        (["repo=a/b", "revision=main"], "commit's 40 hex digits: 'main'"),
    ],
)
def test_a_model_of_the_hub_is_pinned(arguments, message):
    with pytest.raises(UsageError, match=message):
        load_config(ImportConfig, arguments)


def test_ray_goes_with_its_engine_and_with_critics_that_are_asked():
    critic = ["critic.api=openai", "critic.base_url=http://h/v1", "critic.model=m"]
    arguments = ["prompts=p", "first=a", "second=b", *critic]
    with pytest.raises(UsageError, match="engine=ray, not engine=local"):
        load_config(LabelConfig, [*arguments, "ray.blocks_in_flight=3"])
    config = load_config(LabelConfig, [*arguments, "engine=ray", "ray.storage=s"])
    assert config.ray.storage == "s"
    with pytest.raises(UsageError, match=r"ray.address needs ray.storage"):
        load_config(LabelConfig, [*arguments, "engine=ray", "ray.address=head:6379"])
    recorded = ["critic.api=recorded", "critic.file=f", "engine=ray"]
    with pytest.raises(UsageError, match="recorded judgments need none"):
        load_config(LabelConfig, [*arguments[:3], *recorded])
