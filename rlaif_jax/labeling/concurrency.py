"""How many calls may be under way, found out from what the server takes."""

_START = 16  # calls at first; fewer if that is more than allowed
_START_SHARE = 1 / 4  # of what is allowed, if that is more
_GROWTH = 1.05  # after a clean round
_SHRINKAGE = 0.7  # after an episode of rate limits
_CALLS_A_REFUSAL = 10  # that must have ended before it, so that it does not shrink
_MOST_CREDIT = 30  # such calls that count; as many as may be under way, if more
_FAULTY_SHARE = 0.25  # of a round, that does not keep it from growing


class Concurrency:
    """A limit that grows while calls are answered, and shrinks if there are too many.

    A round is as many calls as may be under way. A round that reached the limit and had
    no fault doubles it until the first rate limit, and raises it by 5 % from then on; a
    few faults leave it at 5 %.

    Who shares an account with others is refused now and then, however few calls are
    under way: a limit that shrank each time would end at one. So one call of ten may
    be refused, and only what goes beyond that shrinks it. Whatever was under way then
    was sent too fast for the same reason, so those calls are one episode: however many
    of them meet the rate limit, it shrinks once, and none of them lets it grow.

    Attributes:
      under_way: Calls that have begun and not ended.
    """

    def __init__(self, *, max_in_flight: int):
        self.under_way = 0
        self._max = float(max_in_flight)
        self._limit = min(max(float(_START), _START_SHARE * self._max), self._max)
        self._growth = 2.0
        self._episode = 0
        self._credit = 0  # calls that ended, less those that refusals have cost
        self._begin_round()

    @property
    def limit(self) -> int:
        """Calls that may be under way now."""
        return int(min(self._limit, self._max))

    @property
    def is_full(self) -> bool:
        """Whether no further call may begin."""
        return self.under_way >= self.limit

    def allow(self, max_in_flight: int) -> None:
        """Sets how far the limit may grow; 0 lets no call begin."""
        self._max = float(max_in_flight)

    def begin(self) -> int:
        """Counts a call in, and returns the episode that it belongs to."""
        self.under_way += 1
        self._most = max(self._most, self.under_way)
        return self._episode

    def end(self) -> None:
        """Counts a call out; what came of it is told before."""
        self.under_way -= 1

    def answered(self, episode: int) -> None:
        """Notes that a call of that episode was answered."""
        if episode == self._episode:
            self._count()

    def failed(self, episode: int) -> None:
        """Notes a server's error or a time-out: no reason to shrink."""
        if episode == self._episode:
            self._num_faulty += 1
            self._count()

    def limited(self, episode: int) -> None:
        """Notes that a call of that episode met the server's rate limit."""
        if episode != self._episode:
            return
        self._growth = _GROWTH
        if self._credit >= _CALLS_A_REFUSAL:
            self._credit -= _CALLS_A_REFUSAL
            self._count()
            return
        used = min(self._limit, self._max or self._limit)
        self._limit = max(1.0, used * _SHRINKAGE)
        self._episode += 1
        self._credit = 0
        self._begin_round()

    def _count(self) -> None:
        """Counts the end of a call, and draws the conclusion of a round."""
        self._credit = min(self._credit + 1, max(_MOST_CREDIT, self.limit))
        self._num_ended += 1
        if self._num_ended < self.limit:
            return
        may_grow = self._num_faulty <= _FAULTY_SHARE * self._num_ended
        if may_grow and self._most >= self.limit:
            growth = _GROWTH if self._num_faulty else self._growth
            # never less than before: nothing may be allowed at the moment
            self._limit = max(self._limit, min(self._limit * growth, self._max))
        self._begin_round()

    def _begin_round(self) -> None:
        self._num_ended = 0
        self._num_faulty = 0
        self._most = self.under_way
