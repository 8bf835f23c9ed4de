"""The variants of the embedded world: who is behind the served names."""

from dataclasses import dataclass, replace

from rlaif_jax.errors import UsageError
from rlaif_jax.lab.critics import Critic
from rlaif_jax.lab.scoring import STYLE_WEIGHT
from rlaif_jax.lab.teachers import Teacher

TEACHER_WEAK = "lab-teacher-weak"
TEACHER_STRONG = "lab-teacher-strong"
CRITIC_STRONG = "lab-critic-strong"
CRITIC_WEAK = "lab-critic-weak"
EVALUATOR = "lab-evaluator"
TEACHER_OTHER = "lab-teacher-other"  # another strong family, a little worse
CRITIC_OTHER = "lab-critic-other"
EVALUATOR_OTHER = "lab-evaluator-other"


@dataclass(frozen=True, kw_only=True)
class Variant:
    """The numbers of one world; shares and chances in [0, 1]."""

    weak_skill: float = 0.55
    weak_style: float = 0.40
    strong_skill: float = 0.95
    strong_style: float = 0.95
    other_skill: float = 0.75
    other_style: float = 0.70
    strong_critic_accuracy: float = 0.95
    weak_critic_accuracy: float = 0.70
    other_critic_accuracy: float = 0.90
    evaluator_accuracy: float = 0.95
    position_bias: float = 0.0  # of critics and evaluator
    style_weight: float = STYLE_WEIGHT  # reward of a full sentence
    corpus_skill: float = 0.50  # share of right answers in the pre-training corpus
    corpus_style: float = 0.30
    pretraining_steps: int = 4000  # batches of 64 documents


VARIANTS: dict[str, Variant] = {
    "default": Variant(),
    "poorer_strong_teacher": Variant(strong_skill=0.70, strong_style=0.50),
    "weak_critic": Variant(strong_critic_accuracy=0.70),
    "undertrained": Variant(pretraining_steps=800),
    "no_style": Variant(style_weight=0.0),
}


def variant_named(name: str) -> Variant:
    """The numbers of a variant.

    Raises:
      UsageError: If there is no such variant.
    """
    if name not in VARIANTS:
        raise UsageError(f"no lab variant {name!r}: choose from {', '.join(VARIANTS)}")
    return VARIANTS[name]


def teachers(variant: Variant) -> dict[str, Teacher]:
    """The served teachers by name."""
    weak = Teacher(
        name=TEACHER_WEAK, skill=variant.weak_skill, style=variant.weak_style
    )
    strong = Teacher(
        name=TEACHER_STRONG, skill=variant.strong_skill, style=variant.strong_style
    )
    other = Teacher(
        name=TEACHER_OTHER, skill=variant.other_skill, style=variant.other_style
    )
    return {teacher.name: teacher for teacher in (weak, strong, other)}


def critics(variant: Variant) -> dict[str, Critic]:
    """The served critics by name, the evaluator among them."""
    strong = Critic(
        name=CRITIC_STRONG,
        accuracy=variant.strong_critic_accuracy,
        position_bias=variant.position_bias,
        style_weight=variant.style_weight,
    )
    weak = replace(strong, name=CRITIC_WEAK, accuracy=variant.weak_critic_accuracy)
    judge = replace(strong, name=EVALUATOR, accuracy=variant.evaluator_accuracy)
    other = replace(strong, name=CRITIC_OTHER, accuracy=variant.other_critic_accuracy)
    judges = (judge, replace(judge, name=EVALUATOR_OTHER))
    return {critic.name: critic for critic in (strong, weak, other, *judges)}
