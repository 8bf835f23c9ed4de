"""The `rlaif-jax` executable: verbs, options, exit codes. Imports no JAX."""

import importlib
import json
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import typer
from typer.core import TyperCommand
from typer.exceptions import TyperException

from rlaif_jax import __version__, log
from rlaif_jax.config import Config, config_hash
from rlaif_jax.config_file import config_keys, load_config
from rlaif_jax.errors import CommandError
from rlaif_jax.files import require_writable
from rlaif_jax.typing import Json


class Verb(NamedTuple):
    """A module of `commands`, of the verb's name with underscores for dashes."""

    config: str  # module:class of its config; imported when it runs
    summary: str
    is_watchable: bool = False  # has live statistics
    is_searchable: bool = False  # can try other configs
    has_dry_run: bool = False  # can tell what it would do
    listed: str = ""  # the key of a list that words without an equals sign are of


VERBS = {
    "quickstart": Verb(
        "study.config:QuickstartConfig",
        "The whole study on the embedded lab: CPU, minutes, no keys.",
    ),
    "study": Verb(
        "study.config:StudyConfig",
        "A YAML of arms x seeds: every stage, tables, figures, report.",
        has_dry_run=True,
    ),
    "report": Verb(
        "study.config:ReportConfig",
        "Draw what a study found, or several side by side: report A B C.",
        listed="studies",
    ),
    "prompts": Verb("config:PromptsConfig", "Read, filter and split prompts."),
    "complete": Verb(
        "config:CompleteConfig", "A teacher writes completions through an API."
    ),
    "sft": Verb("config_training:SftConfig", "Supervised fine-tuning on completions."),
    "sample": Verb("config:SampleConfig", "A checkpoint writes completions."),
    "label": Verb(
        "config:LabelConfig",
        "A critic judges comparisons: sealed preference shards.",
        is_watchable=True,
    ),
    "audit": Verb("config:AuditConfig", "What a critic's labels say about the critic."),
    "dpo": Verb(
        "config_training:DpoConfig",
        "DPO on preference shards, finished or still growing.",
    ),
    "reward": Verb(
        "config_training:RewardConfig",
        "A reward model on preference shards, and its errors.",
    ),
    "evaluate": Verb(
        "config:EvaluateConfig", "Win rate of completions against a baseline."
    ),
    "followup": Verb(
        "config_bench:FollowupConfig",
        "MT-bench's second prompts, after a model's own first answers.",
    ),
    "mt-bench": Verb(
        "config_bench:MtBenchConfig",
        "MT-bench: grades of both turns, or verdicts against a baseline.",
    ),
    "bandit": Verb(
        "config_bandit:BanditConfig",
        "The paper's Figure 6, and a map of where RLAIF overtakes SFT.",
    ),
    "import-hf": Verb(
        "config:ImportConfig", "A Hugging Face folder becomes a model folder."
    ),
    "export-hf": Verb(
        "config:ExportConfig", "A model folder becomes a Hugging Face folder."
    ),
    "lab": Verb(
        "config:LabConfig",
        "Serve the embedded teachers and critics, or write their world.",
    ),
    "inspect": Verb(
        "config:InspectConfig", "Log-ratios of a policy to its reference on shards."
    ),
    "plan": Verb(
        "config_plan:PlanConfig",
        "What sft, dpo, reward or sample take of TPUs or GPUs that are not here.",
        is_searchable=True,
    ),
    "doctor": Verb("config:DoctorConfig", "Check this machine."),
}

_INTERRUPTED = 130

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Is AI feedback worth it, for your model, teacher and critic? "
    "Each verb takes a YAML file, then key.path=value overrides.",
)

Arguments = Annotated[
    list[str] | None, typer.Argument(metavar="[CONFIG.yaml] [KEY=VALUE ...]")
]
Out = Annotated[Path | None, typer.Option("--out", help="Run folder.")]
AsJson = Annotated[bool, typer.Option("--json", help="Last line: one JSON object.")]
Debug = Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")]
Audit = Annotated[bool, typer.Option("--audit", help="In the end, as audit=true.")]
Search = Annotated[
    bool, typer.Option("--search", help="Find the best mesh, as search=true.")
]
DryRun = Annotated[
    bool, typer.Option("--dry-run", help="Say what it would take, as dry_run=true.")
]
Watch = Annotated[bool, typer.Option("--watch", help="Live statistics on stderr.")]


def main() -> None:
    """Runs one verb and exits with its code."""
    sys.exit(run(sys.argv[1:]))


def run(argv: list[str]) -> int:
    """Runs the command line and returns the exit code."""
    debug = "--debug" in argv
    log.configure(verbose=debug)
    try:
        code = app(args=argv, standalone_mode=False)
    except typer.BadParameter as error:
        error.show()
        return 2
    except TyperException as error:
        _complain(str(error), debug)
        return 2
    except BaseException as error:
        if isinstance(error, SystemExit):
            raise
        return _failed(error, debug)
    if code == _INTERRUPTED:  # typer turns KeyboardInterrupt into this
        _complain("interrupted: run the same command again to continue", debug)
    return code or 0


@app.callback(invoke_without_command=True)
def _version(
    version: Annotated[bool, typer.Option("--version", help="Print it.")] = False,
) -> None:
    if version:
        print(__version__)
        raise typer.Exit


def _failed(error: BaseException, debug: bool) -> int:
    """Tells the error on one line, and gives its exit code."""
    known = next((e for e in _leaves(error) if isinstance(e, CommandError)), None)
    if known is not None:
        _complain(str(known), debug)
        return known.exit_code
    leaf = next(_leaves(error))
    hint = "" if debug else " (--debug shows where)"
    _complain(f"internal error: {type(leaf).__name__}: {leaf}{hint}", debug)
    return 70


def _leaves(error: BaseException) -> Iterator[BaseException]:
    """The exceptions inside groups, outermost order."""
    if isinstance(error, BaseExceptionGroup):
        for inner in error.exceptions:
            yield from _leaves(inner)
    else:
        yield error


def _complain(message: str, debug: bool) -> None:
    if debug:
        traceback.print_exc()
    if message:
        print(f"rlaif-jax: {log.redact(' '.join(message.split()))}", file=sys.stderr)


def _add_verb(verb: str) -> None:
    """Registers one verb; its module is imported only when it runs."""

    def command(
        arguments: Arguments = None,
        out: Out = None,
        as_json: AsJson = False,
        debug: Debug = False,
    ) -> None:
        del debug  # read from argv, so that errors of the parser see it too
        _dispatch(verb, arguments or [], out=out, as_json=as_json, watch=False)

    def watched(
        arguments: Arguments = None,
        out: Out = None,
        as_json: AsJson = False,
        debug: Debug = False,
        watch: Watch = False,
        audit: Audit = False,
    ) -> None:
        del debug
        arguments = [*(arguments or []), *["audit=true"] * audit]
        _dispatch(verb, arguments, out=out, as_json=as_json, watch=watch)

    def searched(
        arguments: Arguments = None,
        out: Out = None,
        as_json: AsJson = False,
        debug: Debug = False,
        search: Search = False,
    ) -> None:
        del debug
        arguments = [*(arguments or []), *["search=true"] * search]
        _dispatch(verb, arguments, out=out, as_json=as_json, watch=False)

    def rehearsed(
        arguments: Arguments = None,
        out: Out = None,
        as_json: AsJson = False,
        debug: Debug = False,
        dry_run: DryRun = False,
    ) -> None:
        del debug
        arguments = [*(arguments or []), *["dry_run=true"] * dry_run]
        _dispatch(verb, arguments, out=out, as_json=as_json, watch=False)

    class _Help(TyperCommand):
        def get_help(self, ctx: Any) -> str:
            return f"{super().get_help(ctx)}\n\n{_key_help(verb)}"

    callback = watched if VERBS[verb].is_watchable else command
    callback = searched if VERBS[verb].is_searchable else callback
    callback = rehearsed if VERBS[verb].has_dry_run else callback
    app.command(verb, help=VERBS[verb].summary, cls=_Help)(callback)


def config_of(verb: str) -> type[Config]:
    """The config type of a verb."""
    module, _, name = VERBS[verb].config.partition(":")
    return getattr(importlib.import_module(f"rlaif_jax.{module}"), name)


def _key_help(verb: str) -> str:
    """The config keys of a verb, a line each."""
    rows = config_keys(config_of(verb))
    width = max((len(row.key) for row in rows), default=0)
    lines = [f"  {row.key:{width}}  {row.text}" for row in rows]
    return "\n".join(["Config keys (type = default, meaning):", *lines])


def _dispatch(
    verb: str, arguments: list[str], *, out: Path | None, as_json: bool, watch: bool
) -> None:
    """Loads the config, runs the verb, prints what it returns."""
    from rlaif_jax.commands.console import Console

    config = load_config(config_of(verb), _assigned(VERBS[verb].listed, arguments))
    folder = out or Path("runs") / f"{verb}-{config_hash(config)[:8]}"
    require_writable(folder)
    command = importlib.import_module(f"rlaif_jax.commands.{verb.replace('-', '_')}")
    with Console(watch=watch) as console:
        result: Json = command.run(config, folder, console)
    if as_json:
        print(json.dumps(result, sort_keys=True, default=str))
    else:
        command.show(result, folder)


def _assigned(key: str, arguments: list[str]) -> list[str]:
    """The arguments with bare words as the list of a key, if the verb has one."""
    words = [argument for argument in arguments if "=" not in argument]
    if not key or not words:
        return arguments
    rest = [argument for argument in arguments if "=" in argument]
    return [f"{key}={json.dumps(words)}", *rest]


for _verb in VERBS:
    _add_verb(_verb)
