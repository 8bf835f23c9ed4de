"""The pairs on which peers' losses were recorded, and how theirs were reduced."""

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.losses import PairLengths, PairLogps


class Recorded(NamedTuple):
    """torchtune's pairs: log-ratio differences are 0, 10 and 20."""

    policy: PairLogps
    reference: PairLogps
    lengths: PairLengths

    def mean(self, loss, *others, **options):
        """The mean loss, and its gradient by both sides of the policy."""
        given = [getattr(self, name) for name in others]

        def mean_loss(policy):
            return loss(policy, *given, **options).loss.mean()

        value, grads = jax.value_and_grad(mean_loss)(self.policy)
        return float(value), np.stack([grads.chosen, grads.rejected])


@pytest.fixture
def double():
    """Arithmetic in float64, in which the values were recorded."""
    with jax.enable_x64(True):
        yield


@pytest.fixture
def recorded(double):
    return Recorded(
        PairLogps(jnp.array([-0.5, -10.0, -1.0]), jnp.array([-0.1, -30.0, -21.0])),
        PairLogps(jnp.array([-0.5, -10.1, -0.1]), jnp.array([-0.1, -20.1, -0.1])),
        PairLengths(jnp.array([2, 5, 3]), jnp.array([1, 4, 6])),
    )


@pytest.fixture
def pair():
    """Log-probabilities of a single pair."""

    def make(chosen, rejected):
        return PairLogps(jnp.array([chosen]), jnp.array([rejected]))

    return make
