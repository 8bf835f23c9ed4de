"""Work of process 0 whose outcome, good or bad, every process then shares."""

from collections.abc import Callable

import jax
import numpy as np
from jax.experimental import multihost_utils

from rlaif_jax.errors import CommandError, InternalError

_BY_CODE = {kind.exit_code: kind for kind in CommandError.__subclasses__()}


def on_first_process(action: Callable[[], int], *, what: str) -> int:
    """Runs an action on process 0, and tells its result to all; also a barrier.

    Without it a process that fails alone leaves the others in a collective for ever.

    Args:
      action: Returns a number that fits 32 bits; runs on process 0 only.
      what: What it does, for messages: "save step 3".

    Returns:
      What the action returned, on every process.

    Raises:
      InternalError: On every process, if the action raised `OSError`.
      CommandError: Of the same exit code on every process, if it raised one.
    """
    result, failure = 0, None
    if jax.process_index() == 0:
        try:
            result = action()
        except CommandError as error:
            failure = error
        except OSError as error:
            failure = InternalError(f"cannot {what}: {error}")
            failure.__cause__ = error
    code = 0 if failure is None else failure.exit_code
    if jax.process_count() > 1:
        told = multihost_utils.broadcast_one_to_all(np.array([code, result], np.int32))
        code, result = int(told[0]), int(told[1])
    if failure is not None:
        raise failure
    if code:
        raise _BY_CODE[code](f"process 0 could not {what}: its own message says why")
    return result
