"""What a study's stages read, left out and cut."""

from pydantic import Field

from rlaif_jax.records import Record

_TITLES = {
    "base": "Base model",
    "teacher": "Teacher's completions",
    "baseline": "Baseline's completions",
    "sft": "SFT",
    "student": "Student's completions",
    "dpo": "DPO",
    "sample": "Evaluated completions",
    "evaluate": "Verdicts",
}


class DataBuild(Record):
    """Stages of one step of the pipeline, summed over seeds.

    Attributes:
      step: The step's name in the pipeline: prompts, teacher, sft, label, ...
      arms: Those that build on these stages.
      stages: How many there are.
      read: Rows that went in.
      kept: Rows that came out, or were trained on.
      dropped: Why rows were left out, and how many.
      cut: What was truncated, and in how many rows.
      splits: Rows that came out by split, where they were drawn here.
    """

    step: str
    arms: tuple[str, ...]
    stages: int = Field(ge=1)
    read: int = Field(ge=0)
    kept: int = Field(ge=0)
    dropped: dict[str, int] = Field(default_factory=dict)
    cut: dict[str, int] = Field(default_factory=dict)
    splits: dict[str, int] = Field(default_factory=dict)

    @property
    def title(self) -> str:
        """The step's name for people."""
        return _TITLES.get(self.step, self.step.replace("_", " ").capitalize())


class Overlap(Record):
    """Prompts of the same text in two splits of one draw, over all draws."""

    first: str
    second: str
    prompts: int = Field(ge=0)  # of the second that are in the first too
    of: int = Field(ge=0)  # prompts of the second
