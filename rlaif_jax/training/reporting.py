"""Everything that is told of a run's steps: files, trackers, alarms, progress."""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from rlaif_jax import log
from rlaif_jax.files import write_atomic
from rlaif_jax.models import TransformerConfig
from rlaif_jax.models.flops import told_formula
from rlaif_jax.runtime import distributed
from rlaif_jax.runtime.chips import find_chip
from rlaif_jax.training.alarms import Alarm, Watch
from rlaif_jax.training.derived import with_derived
from rlaif_jax.training.facts import BatchFacts
from rlaif_jax.training.metrics import MetricsLog, lines_until
from rlaif_jax.training.plan import Session
from rlaif_jax.training.trackers import Trackers

Describe = Callable[[Any, Any], BatchFacts]

_ALARMS = "alarms.jsonl"

_log = log.logger(__name__)


@dataclass(frozen=True, kw_only=True)
class Reported:
    """What reports are about.

    Attributes:
      step: That the run goes on from.
      batch_size: Examples or pairs of a step.
      config: The architecture.
      describe: Tells of records and the arrays made of them; None if nobody can.
    """

    step: int
    batch_size: int
    config: TransformerConfig
    describe: Describe | None


class Reporter:
    """Tells each step once, in order; `with` closes what it writes to.

    Attributes:
      log: The files.
      alarms: Those that rang, in this session or an earlier one.
    """

    def __init__(self, session: Session, reported: Reported):
        """Takes up what earlier sessions told up to the step."""
        self._session = session
        self._describe = reported.describe
        self._facts: deque[BatchFacts] = deque()
        writes, step = distributed.is_main(), reported.step
        self._watch, self.alarms = Watch(), list[Alarm]()
        self._num_tokens = 0.0
        for text in lines_until(session.out / "metrics.jsonl", step):
            line = json.loads(text)
            known = {k: line[k] for k in line.keys() - {"step", "examples"}}
            self._num_tokens = known.get("num_tokens", 0.0)
            self.alarms += self._watch.update(line["step"], known)
        self._path = session.out / _ALARMS if writes else None
        self._write_alarms()
        self.log = MetricsLog(
            session.out,
            step=step,
            batch_size=reported.batch_size,
            writes=writes,
            peak_flops=_peak(session, reported),
        )
        names = session.trackers if writes else ()
        self._trackers = Trackers(names, session.out, step=step)

    def __enter__(self) -> "Reporter":
        return self

    def __exit__(self, *error: object) -> None:
        self._trackers.__exit__(*error)
        self.log.__exit__(*error)

    def noting(self, load: Callable[[Any], Any]) -> Callable[[Any], Any]:
        """The function, which now also notes what is known of each batch it loads."""

        def noted(records: Any) -> Any:
            batch = load(records)
            if self._describe is not None:
                self._facts.append(self._describe(records, batch))
            return batch

        return noted

    def report(self, step: int, metrics: dict[str, float], total: int | None) -> None:
        """Tells one step, of the batch that was loaded first and is not told yet.

        Args:
          step: Its number.
          metrics: From the device.
          total: Steps of the run, if that is known.
        """
        told = with_derived(metrics)
        work = None
        if self._facts:
            facts = self._facts.popleft()
            self._num_tokens += facts.metrics["num_tokens"]
            told |= facts.metrics | {"num_tokens": self._num_tokens}
            work = facts.work
        speed = self.log.report(step, told, work)
        self._trackers.log(step, told | {f"speed/{k}": v for k, v in speed.items()})
        for alarm in self._watch.update(step, told):
            self.alarms.append(alarm)
            self._write_alarms()
            if self._path is not None:
                _log.warning("step %d, %s: %s", step, alarm.name, alarm.message)
        self._session.progress(step, total, told | speed)

    def track_validation(self, step: int, metrics: dict[str, float]) -> None:
        """Gives trackers what a state is worth on data that it is not trained on."""
        named = {f"validation/{name}": value for name, value in metrics.items()}
        self._trackers.log(step, named)

    def sync(self) -> None:
        """Makes every line durable; called before a checkpoint that implies them."""
        self.log.sync()
        self._trackers.flush()

    def _write_alarms(self) -> None:
        if self._path is not None and (self.alarms or self._path.is_file()):
            lines = (json.dumps(a._asdict(), sort_keys=True) for a in self.alarms)
            write_atomic(self._path, "".join(f"{line}\n" for line in lines))


def _peak(session: Session, reported: Reported) -> float | None:
    """FLOP/s of the run's devices together; the formula of MFU is told where known."""
    device = session.mesh.devices.flat[0]
    kind, chip = device.device_kind, find_chip(device.device_kind)
    if chip is None:
        if device.platform != "cpu":
            session.say(f"no MFU: the peak of {kind} is not known")
        return None
    session.say(
        f"MFU = FLOP / (seconds x {session.mesh.size} x {chip.flops:.4g} FLOP/s of"
        f" {kind}, dense bfloat16); FLOP = {told_formula(reported.config)}"
    )
    return chip.flops * session.mesh.size
