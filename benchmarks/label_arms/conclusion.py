"""How a benchmark that proves something begins and ends."""

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parents[1] / "results"


def options_of(doc: str | None, name: str) -> argparse.ArgumentParser:
    """The options that every such benchmark has.

    Args:
      doc: Its docstring, for `--help`.
      name: Of what it keeps, if no other is given.
    """
    parser = argparse.ArgumentParser(
        description=doc, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=0, help="of what is drawn")
    parser.add_argument("--name", default=name, help="empty: write nothing")
    return parser


def conclude(
    measure: Callable[[argparse.Namespace, Path], dict[str, Any]],
    options: argparse.Namespace,
) -> None:
    """Measures, shows and keeps what was found, and fails if a claim did not hold.

    Args:
      measure: What is found in a folder of its own; under `holds` each claim, and
        whether it does.
      options: Of the command line; nothing is written if `name` is empty.
    """
    with tempfile.TemporaryDirectory() as folder:
        document = measure(options, Path(folder))
    text = json.dumps(document, indent=1)
    print(text)
    if options.name:
        (RESULTS / f"{options.name}.json").write_text(text + "\n")
    sys.exit(not all(document["holds"].values()))


def finish(process: "subprocess.Popen[bytes]") -> None:
    """Waits for the end of a process, which must be a good one."""
    if code := process.wait():
        raise RuntimeError(f"{process.args} ended with {code}")


def spread(values: Sequence[float]) -> dict[str, float] | None:
    """The least, the middle one and the largest."""
    if not values:
        return None
    ordered = sorted(values)
    return {
        "least": round(ordered[0], 2),
        "median": round(ordered[len(ordered) // 2], 2),
        "most": round(ordered[-1], 2),
    }
