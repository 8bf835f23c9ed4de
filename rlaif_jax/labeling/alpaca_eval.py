"""Judging prompts read from the installed `alpaca_eval` package, never copied here.

The package itself is not imported: it needs pandas, torch and more for what is read
here from two text files.
"""

import ast
import difflib
import importlib.util
import re
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from rlaif_jax.config_file import read_yaml
from rlaif_jax.errors import UsageError
from rlaif_jax.files import read_text, require_file
from rlaif_jax.labeling.prompts import Template
from rlaif_jax.labeling.verdicts import Choice, Fork, Grammar
from rlaif_jax.records import Message, Role
from rlaif_jax.typing import Json

PREFIX = "alpaca_eval:"
_PACKAGE = "alpaca_eval"
_LONGEST_RANKING = 10_000  # characters; a literal that is parsed may not be huge
_CALLS = {"tools", "tool_choice", "functions", "function_call"}
_CHATML = re.compile(r"<\|im_start\|>(.*?)\n(.*?)<\|im_end\|>", re.DOTALL)
_TRANSCRIPT = re.compile(r"(?:\A|\n)\s*(Human|Assistant):")
_RENAMED = {"{output_1}": "{output_a}", "{output_2}": "{output_b}"}


@dataclass(frozen=True)
class RegexGrammar:
    """AlpacaEval's `regex_parser` for one comparison.

    The earliest match of either pattern is taken and the text up to its end cut off,
    again and again; exactly one match is a verdict. After a cut the rest counts as the
    beginning of a text, so that `Output (a) Output (b)` is none.
    """

    a: str
    b: str
    needs_end: bool = False
    has_forks: bool = False

    @property
    def choices(self) -> None:
        """None: patterns do not tell whole replies."""

    def choice(self, reply: str) -> Choice | None:
        """The answer that the critic chose; None unless it names exactly one."""
        found: list[Choice] = []
        patterns: dict[Choice, str] = {"a": self.a, "b": self.b}
        while len(found) < 2:
            matches: list[tuple[int, int, Choice]] = [
                (*match.span(), choice)
                for choice, pattern in patterns.items()
                if (match := re.search(pattern, reply))
            ]
            if not matches:
                break
            _, end, choice = min(matches, key=lambda one: one[0])
            found.append(choice)
            reply = reply[end:]
        return found[0] if len(found) == 1 else None

    def fork(self, reply: str) -> Fork | None:
        """None: patterns do not tell where a verdict was decided."""
        del reply


@dataclass(frozen=True)
class RankingGrammar:
    """AlpacaEval's `ranking_parser`: a Python list of mappings, `model` to `rank`."""

    needs_end: bool = False
    has_forks: bool = False

    @property
    def choices(self) -> None:
        """None: rankings of the same meaning are many."""

    def choice(self, reply: str) -> Choice | None:
        """`a` if `model_1` has rank 1, `b` if it has rank 2."""
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about escapes in the critic's text
                rows = ast.literal_eval(reply[:_LONGEST_RANKING])
            rank = next(row["rank"] for row in rows if row["model"] == "model_1")
        except _NO_RANKING:
            return None
        if isinstance(rank, bool) or not isinstance(rank, int):
            return None
        ranked: dict[int, Choice] = {1: "a", 2: "b"}
        return ranked.get(rank)

    def fork(self, reply: str) -> Fork | None:
        """None: a rank stands too deep in a list."""
        del reply


_NO_RANKING = (
    ValueError,
    SyntaxError,
    LookupError,
    TypeError,
    RecursionError,
    MemoryError,
    StopIteration,
)


@dataclass(frozen=True)
class TokenGrammar:
    """AlpacaEval's `logprob_parser`: the first token tells, by its probability.

    Attributes:
      labels: The tokens for (a) and for (b).
    """

    labels: tuple[str, str]
    needs_end: bool = False
    has_forks: bool = True

    @property
    def choices(self) -> tuple[str, str]:
        """The tokens."""
        return self.labels

    def choice(self, reply: str) -> Choice | None:
        """The answer whose token the reply is."""
        said: dict[str, Choice] = {self.labels[0]: "a", self.labels[1]: "b"}
        return said.get(reply.strip())

    def fork(self, reply: str) -> Fork | None:
        """The beginning of any reply: what was said there in fact does not count."""
        return Fork(0, self.labels) if reply.strip() else None


def alpaca_template(name: str) -> Template:
    """A judging prompt of the installed `alpaca_eval`, with its parser.

    Args:
      name: A folder of the package's `evaluators_configs`, such as `claude`.

    Raises:
      UsageError: If the package is not installed, has no such prompt, or has one that
        this program cannot ask: several comparisons at a time, function calls.
    """
    root = _configs_folder()
    names = sorted(path.parent.name for path in root.glob("*/configs.yaml"))
    if name not in names:
        near = difflib.get_close_matches(name, names, n=3) or names
        raise UsageError(
            f"{PREFIX}{name}: the installed alpaca_eval has no {name!r}; it has"
            f" {', '.join(near)}"
        )
    try:
        return _template(root, name)
    except (ValueError, TypeError, KeyError, re.error) as error:
        raise UsageError(f"{PREFIX}{name} cannot be used here: {error}") from error


def _configs_folder() -> Path:
    """Where the installed package keeps its evaluators."""
    spec = importlib.util.find_spec(_PACKAGE)
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(
            f"template {PREFIX}NAME needs the package alpaca_eval, of which two text"
            " files are read: pip install --no-deps alpaca-eval"
        )
    return Path(spec.submodule_search_locations[0]).resolve() / "evaluators_configs"


def _template(root: Path, name: str) -> Template:
    """The template of one evaluator."""
    document = read_yaml(root / name / "configs.yaml")
    config = document.get(name, next(iter(document.values()), None))
    if not isinstance(config, dict) or not isinstance(config["prompt_template"], str):
        raise TypeError("its config has no prompt_template")
    if (batch_size := config.get("batch_size", 1)) != 1:
        raise ValueError(f"it asks about {batch_size} comparisons at a time")
    if called := _CALLS & config.get("completions_kwargs", {}).keys():
        raise ValueError(f"it wants a function called: {min(called)}")
    if processors := config.get("processors_to_kwargs"):
        raise ValueError(f"it works on its replies before they are read: {processors}")
    path = (root / config["prompt_template"]).resolve()
    if not path.is_relative_to(root):
        raise ValueError(f"its prompt is outside the package: {path.name}")
    text = read_text(require_file(path, "prompt of alpaca_eval"))
    for theirs, ours in _RENAMED.items():
        text = text.replace(theirs, ours)
    return Template.create(f"{PREFIX}{name}", _turns(text), _grammar(config))


def _grammar(config: Json) -> Grammar:
    """The package's parser of the replies, by our means."""
    parser = config.get("fn_completion_parser", "regex_parser")
    if parser not in _GRAMMARS:
        raise ValueError(f"its parser {parser} is none of {', '.join(_GRAMMARS)}")
    return _GRAMMARS[parser](config.get("completion_parser_kwargs", {}))


def _regex_grammar(options: Json) -> Grammar:
    patterns = options["outputs_to_match"]
    if not isinstance(patterns, dict) or set(patterns) != {1, 2}:
        raise ValueError(f"its parser has no patterns for 1 and 2: {patterns}")
    if empty := [text for text in patterns.values() if re.search(text, "")]:
        raise ValueError(f"its pattern {empty[0]!r} matches nothing at all")
    return RegexGrammar(patterns[1], patterns[2])


def _ranking_grammar(options: Json) -> Grammar:
    if options:
        raise ValueError(f"its parser has options: {options}")
    return RankingGrammar()


def _token_grammar(options: Json) -> Grammar:
    if (place := options.get("log_prob_index", "batch")) not in ("batch", 0):
        raise ValueError(f"its verdict is token {place} of a reply, not the first")
    first = options["numerator_token"]
    rest = [token for token in options["denominator_tokens"] if token != first]
    if len(rest) != 1 or first not in options["denominator_tokens"]:
        raise ValueError(f"its parser does not compare two tokens: {options}")
    return TokenGrammar((first, rest[0]))


_GRAMMARS: dict[str, Callable[[Any], Grammar]] = {
    "regex_parser": _regex_grammar,
    "ranking_parser": _ranking_grammar,
    "logprob_parser": _token_grammar,
}


def _turns(text: str) -> list[Message]:
    """The turns of a prompt file, found before any candidate's text is in it."""
    text = text.strip()
    if text.startswith("<|im_start|>"):
        return _chatml_turns(text)
    starts = list(_TRANSCRIPT.finditer(text))
    if not starts or starts[0].start() > 0:
        return [_turn("user", text)]
    ends = [*(mark.start() for mark in starts[1:]), len(text)]
    turns = [
        _turn(_SPEAKERS[mark[1]], text[mark.end() : end].strip())
        for mark, end in zip(starts, ends, strict=True)
    ]
    if turns[-1].role != "assistant":
        return turns
    if turns[-1].content:
        raise ValueError(f"it begins the reply itself: {turns[-1].content!r}")
    return turns[:-1]


_SPEAKERS = {"Human": "user", "Assistant": "assistant"}


def _chatml_turns(text: str) -> list[Message]:
    """Turns between `<|im_start|>` and `<|im_end|>`."""
    if _CHATML.sub("", text).strip():
        raise ValueError("it has text outside its turns")
    return [_turn(role.strip(), words.strip()) for role, words in _CHATML.findall(text)]


def _turn(role: str, content: str) -> Message:
    if role not in get_args(Role):
        raise ValueError(f"it has a turn of {role!r}")
    return Message.model_validate({"role": role, "content": content})
