"""The errors that end a command, each with its exit code.

A command raises one of these with a message that names the offending value and says
what to do about it; `cli` prints the message on one line and exits with `exit_code`.
"""

from typing import ClassVar


class CommandError(Exception):
    """An error that a user can act on."""

    exit_code: ClassVar[int] = 70


class UsageError(CommandError):
    """A wrong option, config value or path: nothing was started."""

    exit_code = 2


class CorruptDataError(CommandError):
    """A file does not hold what its checksum or schema promises."""

    exit_code = 65


class InternalError(CommandError):
    """The run cannot go on, through no fault of its input."""

    exit_code = 70


class DivergedError(InternalError):
    """Training went where no loss is finite: another run may do better."""


class PreemptedError(CommandError):
    """Asked to stop: the state is saved, and the same command continues it."""

    exit_code = 75


class RefusedError(CommandError):
    """A safeguard said no: unknown price, budget reached, unsafe input."""

    exit_code = 78
