"""What earlier configs of a study have had answered, and its stages begin with.

A stage whose inputs or options change is another stage, with a folder of its own; most
of its questions may be the same.
"""

from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any

from rlaif_jax.commands.comparing import read_comparisons
from rlaif_jax.commands.estimating import judge_questions
from rlaif_jax.commands.evaluate import compared
from rlaif_jax.commands.evaluating import evaluator_folder
from rlaif_jax.commands.inputs import read_prompts
from rlaif_jax.commands.judging import LEDGER
from rlaif_jax.config import CompleteConfig, EvaluateConfig, LabelConfig
from rlaif_jax.config_endpoints import (
    CriticConfig,
    EndpointConfig,
    JuryConfig,
    Orders,
    RecordedConfig,
    asked_critics,
)
from rlaif_jax.files import lock_file
from rlaif_jax.labeling.handover import take_answers
from rlaif_jax.labeling.question import Addressee, Question
from rlaif_jax.labeling.teacher import draws, writing_question
from rlaif_jax.records import Comparison, Prompt

Asked = Iterator[tuple[Path, Iterator[str]]]  # folder of a ledger, keys of questions


def begin_with_answers(
    verb: str, config: Any, folder: Path, in_use: Collection[str]
) -> None:
    """Gives a stage that asks what stages that are no longer in use were answered.

    An answer goes to one stage of those in use: two of them that ask the same have
    asked twice, whatever was there before.

    Args:
      verb: The stage's.
      config: Of the verb.
      folder: Of the stage, beside those of the others.
      in_use: Names of the folders of all stages of the study as it now is.
    """
    if verb in _ASKED:
        _take(folder, in_use, _ASKED[verb](config, folder))


def begin_writing_with_answers(
    teacher: EndpointConfig,
    prompts: Collection[Prompt],
    seed: int,
    folder: Path,
    in_use: Collection[str],
) -> None:
    """The same of a teacher's stage that is asked about some of its prompts."""
    _take(folder, in_use, iter([(folder, _written(teacher, prompts, 1, seed))]))


def _take(folder: Path, in_use: Collection[str], asked: Asked) -> None:
    """Fills the ledgers of one stage."""
    root = folder.parent
    old = [path for path, name in _ledgers(root).items() if name not in in_use]
    if not old:
        return
    with lock_file(root / ".answers.lock"):  # stages side by side take from the same
        for part, keys in asked:
            own = part / LEDGER
            beside = _ledgers(root).keys() - {own, *old}
            take_answers(own, keys, sources=old, beside=beside)


def _ledgers(root: Path) -> dict[Path, str]:
    """Every ledger of a study's stages, with the name of the stage's folder."""
    found = chain(root.glob(f"*/{LEDGER}"), root.glob(f"*/*/{LEDGER}"))
    return {path: path.relative_to(root).parts[0] for path in sorted(found)}


def _of_complete(config: CompleteConfig, folder: Path) -> Asked:
    if isinstance(config.teacher, EndpointConfig):
        prompts = read_prompts(config.prompts, config.splits)
        yield (
            folder,
            _written(config.teacher, prompts, config.samples, config.seed),
        )


def _of_label(config: LabelConfig, folder: Path) -> Asked:
    sides = (config.first, config.second, *config.others)
    pairs = read_comparisons(config.prompts, config.splits, sides).comparisons
    yield folder, _judged(config.critic, pairs, config.orders)


def _of_evaluate(config: EvaluateConfig, folder: Path) -> Asked:
    _, comparisons = compared(config)
    for number, evaluator in enumerate(config.judges):
        keys = _judged(evaluator, comparisons, config.orders)
        yield evaluator_folder(folder, number), keys


_ASKED: dict[str, Callable[[Any, Path], Asked]] = {
    "complete": _of_complete,
    "label": _of_label,
    "evaluate": _of_evaluate,
}


def _written(
    teacher: EndpointConfig, prompts: Collection[Prompt], samples: int, seed: int
) -> Iterator[str]:
    """Keys of what a teacher is asked."""
    wanted = draws(prompts, samples)
    return _keys(teacher, (writing_question(one, seed=seed) for one in wanted))


def _judged(
    config: CriticConfig | RecordedConfig | JuryConfig,
    comparisons: Iterable[Comparison],
    orders: Orders,
) -> Iterator[str]:
    """Keys of what a critic or the seats of a jury are asked about comparisons.

    Not the probe of a constraint: it is about the server that there is now.
    """
    for critic in asked_critics(config):
        yield from _keys(critic, judge_questions(comparisons, orders, critic))


def _keys(config: EndpointConfig, questions: Iterable[Question]) -> Iterator[str]:
    return map(Addressee.of(config).key, questions)
