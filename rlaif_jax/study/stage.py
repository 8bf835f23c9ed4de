"""One command of a study, under the name that its config and inputs give it.

Stages that arms have in common have one name and are one stage, and what is done is
done. Pure: nothing runs here.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rlaif_jax.files import file_sha256
from rlaif_jax.records import content_hash
from rlaif_jax.run_folder import essence
from rlaif_jax.typing import Json

# Options of a section that came after stages had names. At these values they do what
# was done before there was a choice, and are in no digest: what is done, and may have
# been paid for, keeps its name.
_ASKING: Json = {"reasoning_effort": None}
_SITTING: Json = _ASKING | {"constrain": "none"}  # of a seat of a jury
_JUDGING: Json = _SITTING | {"template": "verdict", "verdicts": "hard", "votes": 1}
_LATER: dict[str, Json] = {
    "critic": _JUDGING,
    "evaluator": _JUDGING,
    "teacher": _ASKING,
    "source": {
        "reader": "file",
        "data_dir": None,
        "revision": None,
        "rules": "clean",
        "data_fraction": 1.0,
        "num_turns": 1,
        "min_score_ratio": 2.0,
        "generator": None,
    },
    "tokens": {"compat": "clean", "kept": "end"},
}
_LATER_OF_VERBS: dict[str, Json] = {  # options beside the sections
    "prompts": {"also": [], "skip": 0, "at_most": {}},
    "sft": {"order": "shuffled", "sweep": None},
    "dpo": {"order": "shuffled", "sweep": None},
}
_USUAL = ("sft", "aif", "validation", "test")
# keys of inputs: here a name without a folder may be one of the working directory
_INPUTS = frozenset(
    {"path", "file", "prompts", "completions", "tokenizer", "preferences"}
)


@dataclass(frozen=True)
class Stage:
    """One command of the study, with its inputs still by name.

    Attributes:
      verb: The command.
      digest: The hash that names the stage's folder.
      title: For people.
      document: The command's config; an input is the string `stage:DIGEST/FILE`.
      needs: Digests of the stages that it reads.
      cached: Whether it lives in the user's cache, shared by all studies.
    """

    verb: str
    digest: str
    title: str
    document: Json
    needs: frozenset[str]
    cached: bool = False

    @property
    def folder(self) -> str:
        """The stage's folder, below the root of stages."""
        return f"{self.verb}-{self.digest[:12]}"

    def output(self, file: str = "") -> str:
        """How another stage's document refers to a file of this one."""
        return f"stage:{self.digest}/{file}"


def resolve(document: Any, folders: dict[str, Path]) -> Any:
    """The document with every `stage:DIGEST/FILE` replaced by a path.

    Args:
      document: A stage's document, or a part of it.
      folders: Digest to the folder of that stage.
    """
    if isinstance(document, dict):
        return {key: resolve(value, folders) for key, value in document.items()}
    if isinstance(document, list):
        return [resolve(value, folders) for value in document]
    if isinstance(document, str) and document.startswith("stage:"):
        digest, _, file = document.removeprefix("stage:").partition("/")
        return str(folders[digest] / file)
    return document


def named_stage(
    verb: str,
    title: str,
    document: Json,
    needs: list[Stage | None],
    *,
    cached: bool = False,
) -> Stage:
    """The stage of a command; what it is called follows from its config and inputs.

    Args:
      verb: The command.
      title: For people.
      document: Its config; inputs are what `Stage.output` says.
      needs: The stages that it reads; None stands for one that is not there.
      cached: Whether all studies share it.
    """
    upstream = frozenset(stage.digest for stage in needs if stage is not None)
    digest = content_hash(verb, _contents(_as_named(verb, essence(document))))
    return Stage(verb, digest, title, document, upstream, cached)


def _as_named(verb: str, document: Json) -> Json:
    """The document without later options that change nothing."""
    named = _without(document, _LATER_OF_VERBS.get(verb, {}))
    for section in _LATER.keys() & document.keys():
        named[section] = _without(document[section], _LATER[section])
        if "critics" in named[section]:
            seats = named[section]["critics"]
            named[section]["critics"] = [_without(seat, _SITTING) for seat in seats]
    order = list(document.get("fractions", ()))
    if order != sorted(order, key=_usual_place):
        named["order"] = order  # ranks are dealt to splits in it; hashes forget it
    return named


def _usual_place(split: str) -> tuple[int, str]:
    """Where a split stands in a list of fractions, mostly."""
    place = _USUAL.index(split) if split in _USUAL else len(_USUAL)
    return place, split


def _without(section: Json, later: Json) -> Json:
    """A section without those later options that are at their defaults."""
    return {
        key: value
        for key, value in section.items()
        if (key, value) not in later.items()
    }


def _contents(document: Any, key: str = "") -> Any:
    """The document with every input file and folder replaced by its hash."""
    if isinstance(document, dict):
        return {name: _contents(value, name) for name, value in document.items()}
    if isinstance(document, list):
        return [_contents(value) for value in document]
    if isinstance(document, str) and not document.startswith("stage:"):
        named = "/" in document or (document and key in _INPUTS)
        return _content(document) if named else document
    return document


def _content(text: str) -> str:
    """The text itself, or the hash of the file or model folder that it names."""
    path = Path(text)
    if path.is_file():
        return file_sha256(path)
    if path.is_dir():
        files = sorted(f for f in path.rglob("*.json") if f.is_file())
        return content_hash([file_sha256(file) for file in files])
    return text
