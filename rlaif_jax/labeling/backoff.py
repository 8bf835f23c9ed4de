"""When to ask again."""

from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Backoff:
    """Exponential backoff with full jitter.

    Attributes:
      max_attempts: Calls per question, the first included.
      base_s: Ceiling of the first delay, in seconds; doubles per attempt.
      cap_s: Ceiling of any delay that the server did not ask for, in seconds.
    """

    max_attempts: int = 6
    base_s: float = 1.0
    cap_s: float = 60.0

    def delay_s(
        self, attempt: int, retry_after_s: float | None, uniform: float
    ) -> float:
        """Seconds to wait after failed call number `attempt`, counted from 1.

        Args:
          attempt: Calls made so far.
          retry_after_s: The server's own wish; never undercut.
          uniform: A draw from [0, 1), passed in so that tests can fix it.
        """
        jittered = uniform * min(self.cap_s, self.base_s * 2 ** (attempt - 1))
        return max(jittered, retry_after_s or 0.0)
