"""One run on devices that are not here, and what its steps take there."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import NamedTuple

import jax
from jax.sharding import Mesh

from rlaif_jax.commands.decoding import Decoding
from rlaif_jax.commands.workload import Assumed, Trained, Workload
from rlaif_jax.config import SampleConfig
from rlaif_jax.config_plan import PlanConfig
from rlaif_jax.planning.estimate import Estimate, estimate
from rlaif_jax.planning.topology import Topology
from rlaif_jax.sharding.mesh import build_mesh

Say = Callable[[str], None]


class Case(NamedTuple):
    """A run as it would be.

    Attributes:
      run: Its config.
      config: The plan's.
      topology: The devices.
    """

    run: Trained | SampleConfig
    config: PlanConfig
    topology: Topology

    @property
    def assumed(self) -> Assumed:
        """What the run's config does not say."""
        config = self.config
        return Assumed(
            architecture=config.architecture,
            param_dtype=config.param_dtype,
            prompt=config.prompt_tokens,
            completion=config.completion_tokens,
            examples=config.examples,
        )

    @contextmanager
    def laid_out(self) -> Iterator[tuple[Workload | Decoding, Mesh]]:
        """What the run computes on, on its mesh, which is JAX's current one meanwhile.

        Raises:
          UsageError: As the run would, if it cannot be laid out so.
        """
        mesh = build_mesh(self.run.mesh, self.topology.devices)
        with jax.set_mesh(mesh):
            if isinstance(self.run, SampleConfig):
                yield Decoding(config=self.run, assumed=self.assumed, mesh=mesh), mesh
            else:
                yield Workload.of(self.run, self.assumed, mesh), mesh


def compiled(case: Case, say: Say) -> list[Estimate]:
    """What each step takes, by the devices' own compiler.

    Args:
      case: The run.
      say: What is told of the progress.

    Raises:
      UsageError: As the run would.
    """
    found: list[Estimate] = []
    topology = case.topology
    with case.laid_out() as (work, mesh):
        for step in work.steps():
            say(f"compiling {step.demand.name} for {topology.name}")
            found.append(estimate(step, topology.chip, mesh.size))
    return found


def modelled(case: Case, say: Say | None = None) -> list[Estimate]:
    """The same by the model, in milliseconds; arguments and errors as `compiled`."""
    del say  # nothing takes long
    with case.laid_out() as (work, _):
        return list(work.modelled(case.topology))
