"""Every file in `configs/` is a whole run that loads, and says how to start it."""

from pathlib import Path

import pytest

from rlaif_jax.cli import VERBS, config_of
from rlaif_jax.config_file import load_config
from rlaif_jax.study.config import StudyConfig
from rlaif_jax.study.graph import build_graph

CONFIGS = Path(__file__).parents[1] / "configs"
FILES = sorted(CONFIGS.rglob("*.yaml"))


STUDIES = sorted((CONFIGS / "study").rglob("*.yaml"))
PAPER = [f"figure_{number}" for number in (1, 2, 3, 4, 5, 7)] + ["table_1"]


def verb_of(path: Path) -> str:
    """The verb in the file's first comment."""
    comment = "".join(path.read_text().splitlines()[:2])
    words = comment.replace("#", " ").split()
    return next(word for word in words if word in VERBS)


def test_there_are_configs():
    assert len(FILES) >= 7


@pytest.mark.parametrize("path", FILES, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_a_config_loads_as_its_verb(path):
    first = path.read_text().splitlines()[0]
    assert first.startswith("#")
    verb = verb_of(path)
    kind = "study" if verb == "quickstart" else verb
    config = load_config(config_of(kind), [str(path)])
    assert config == config_of(kind).model_validate(config.model_dump())


@pytest.mark.parametrize("path", STUDIES, ids=lambda p: str(p.relative_to(CONFIGS)))
def test_a_study_has_a_graph_whose_inputs_are_in_it(path):
    arms = build_graph(load_config(StudyConfig, [str(path)]))
    stages = {stage.digest: stage for arm in arms for stage in arm.all()}
    assert all(stage.needs <= stages.keys() for stage in stages.values())


@pytest.mark.parametrize("name", PAPER)
def test_a_figure_of_the_paper_has_a_study_and_a_twin_in_the_lab(name):
    files = [CONFIGS / "study" / f"{name}.yaml", CONFIGS / "study/lab" / f"{name}.yaml"]
    study, twin = (load_config(StudyConfig, [str(file)]) for file in files)
    assert (study.lab, twin.lab.variant) == (None, "default")
    assert len(study.arms) == len(twin.arms)
    bases = [len(one.bases) for one in (study, twin)]
    assert bases[0] == bases[1]
    assert len(study.claims) == len(twin.claims) > 0
    asked = [*study.teachers.values(), *study.critics.values()]
    assert all(one.base_url.startswith("https://") for one in asked)


def test_figure_1_has_five_seeds_in_the_lab():
    twin = load_config(StudyConfig, [str(CONFIGS / "study/lab/figure_1.yaml")])
    assert len(twin.seeds) == 5


def test_the_papers_prompts_for_feedback_begin_with_a_whole_batch():
    config = load_config(
        config_of("prompts"), [str(CONFIGS / "prompts/paper_aif.yaml")]
    )
    assert config.skip == 188 * 32  # the first batch of 32 at or after 6,000
