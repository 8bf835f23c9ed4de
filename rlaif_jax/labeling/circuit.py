"""Whether a server answers at all, and when to try it again if it does not."""

import math
import time
from collections.abc import Callable

from rlaif_jax import log
from rlaif_jax.errors import PreemptedError

_log = log.logger(__name__)

_FAILED_IN_A_ROW = 10  # calls, before only one is sent at a time
_MAX_TRIALS = 5  # such calls, before the run is stopped: half a minute by then
_MAX_FIRST_TRIALS = 2  # of a server that has never answered: likely a wrong address


class Circuit:
    """Opens when calls fail in a row; then one at a time tries the server again.

    So a server that is gone, or hangs, is found out by a few calls instead of every
    attempt of every question. A rate limit is an answer: that server is there.
    """

    def __init__(
        self,
        *,
        first_wait_s: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ):
        """A closed circuit.

        Args:
          first_wait_s: Before the first trial; doubles with each that fails.
          clock: Seconds from any origin.
        """
        self._first_wait_s = first_wait_s
        self._clock = clock
        self._max_trials = _MAX_FIRST_TRIALS
        self._num_failed = 0  # calls, since the last answer
        self._num_trials = 0  # of these, calls sent while it was open
        self._is_trying = False
        self._try_at = 0.0

    @property
    def is_open(self) -> bool:
        """Whether calls are held back."""
        return self._num_failed >= _FAILED_IN_A_ROW

    def wait_s(self) -> float:
        """Seconds until a call may begin; infinite until the one on trial has ended."""
        if not self.is_open:
            return 0.0
        return math.inf if self._is_trying else self._try_at - self._clock()

    def begin(self) -> bool:
        """Counts a call in; returns whether it is on trial."""
        self._is_trying = self.is_open
        return self._is_trying

    def end(self, *, is_trial: bool) -> None:
        """Counts a call out; what came of it is told before."""
        if is_trial:
            self._is_trying = False

    def answered(self) -> None:
        """Notes an answer, of whatever kind: the server is there."""
        if self.is_open:
            _log.info("the server answers again")
        self._max_trials = _MAX_TRIALS
        self._num_failed = self._num_trials = 0

    def failed(self, error: Exception, *, is_trial: bool) -> None:
        """Notes a call without a usable answer.

        Raises:
          PreemptedError: If the server was tried often enough.
        """
        self._num_failed += 1
        self._num_trials += is_trial
        if self._num_trials >= self._max_trials:
            raise PreemptedError(
                f"{self._num_failed} calls in a row got no usable answer, the last"
                f" {self._num_trials} sent one at a time: check the endpoint, then run"
                f" the same command again; the last: {error}"
            )
        if is_trial or self._num_failed == _FAILED_IN_A_ROW:
            wait_s = self._first_wait_s * 2.0**self._num_trials
            self._try_at = self._clock() + wait_s
        if self._num_failed == _FAILED_IN_A_ROW:
            _log.warning(
                "%d calls in a row got no usable answer: from now on one at a time"
                " tries again; the last: %s",
                self._num_failed,
                error,
            )
