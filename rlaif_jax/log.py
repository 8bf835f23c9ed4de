"""The package's logger, and its one handler on stderr."""

import logging
import os
import re
import sys

_SECRET = re.compile(r"(sk-[A-Za-z0-9_\-]{6,}|Bearer\s+\S+)")


class _Redact(logging.Filter):
    """Blanks anything that looks like an API key, whoever logged it."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg = redact(record.getMessage())
        record.args = ()
        return True


def redact(text: str) -> str:
    """The text with everything that looks like an API key blanked."""
    return _SECRET.sub("[redacted]", text)


def logger(name: str) -> logging.Logger:
    """The logger of one module of this package."""
    return logging.getLogger(name)


def quiet(*libraries: str) -> None:
    """Keeps back what libraries log of their work: prompts, addresses and headers.

    Variables such as `ANTHROPIC_LOG` would have them print it, whoever set those.
    """
    for name in libraries:
        library = logging.getLogger(name)
        library.setLevel(max(library.level, logging.WARNING))


def configure(*, verbose: bool = False) -> None:
    """Sends the package's log to stderr; called once, by the command line."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(message)s", "%H:%M:%S"))
    handler.addFilter(_Redact())
    package = logging.getLogger("rlaif_jax")
    package.handlers[:] = [handler]
    package.setLevel(logging.DEBUG if verbose else logging.INFO)
    package.propagate = False
    # it warns, when imported, of every framework that is not installed
    os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
    if not verbose:  # Orbax tells a failed save there, with a traceback of its own
        logging.getLogger("absl").setLevel(logging.CRITICAL)
