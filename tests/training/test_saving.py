"""Tests of `rlaif_jax.training.saving`."""

import optax
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import CheckpointConfig
from rlaif_jax.data.order import RowStream
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.training.batches import Batches
from rlaif_jax.training.saving import Saver
from rlaif_jax.training.state import StateLayout


@pytest.fixture
def saved(tiny, params, one_device, tmp_path):
    """Goes through 3 epochs of 10 records in batches of 4; gives the steps kept."""
    layout = StateLayout.create(tiny, optax.sgd(0.1), one_device)
    state = layout.fresh(params)

    def go(config, *, best=None, first=0):
        source = MemorySource(list(range(10)), fingerprint="ten")
        position = None
        for batch in [*RowStream(source, batch_size=4, epochs=3, seed=0)][:first]:
            position = batch.position
        stream = RowStream(source, batch_size=4, epochs=3, seed=0, position=position)
        batches = Batches(stream, list, 1)
        folder = store.create_folder(tmp_path / "run", tiny, tmp_path)
        synced = []
        saver = Saver(
            folder,
            CheckpointConfig(**config),
            layout=layout,
            batches=batches,
            before=lambda: synced.append(1),
        )
        saver.best = best
        for step, _ in enumerate(batches, first + 1):
            if saver.is_due(step):
                saver.save(step, state)
                saver.save(step, state)  # is not done twice
        found = sorted(int(path.name) for path in folder.checkpoints.iterdir())
        return found, len(synced)

    return go


def test_a_checkpoint_follows_each_epoch_or_every_few(saved):
    # epochs end in the 3rd batch, with the 5th and in the 8th, which is dropped
    assert saved({"every_epochs": 1, "keep": 9}) == ([3, 5], 2)


def test_a_resumed_run_saves_at_the_same_epochs(saved):
    assert saved({"every_epochs": 1, "keep": 9}, first=3) == ([5], 1)


def test_every_second_epoch_and_every_few_steps(saved):
    assert saved({"every_epochs": 2, "keep": 9}) == ([5], 1)


def test_the_newest_stay_and_the_best(saved):
    assert saved({"every_steps": 1, "keep": 2}, best=3) == ([3, 6, 7], 7)
