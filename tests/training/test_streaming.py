"""Tests of `rlaif_jax.training.streaming`."""

import os
import signal
import threading

import pytest

from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.errors import PreemptedError, UsageError
from rlaif_jax.runtime.distributed import graceful_stop
from rlaif_jax.training.streaming import preference_source


def test_sees_what_is_sealed(tmp_path):
    with ShardWriter(tmp_path) as writer:
        writer.add([])
        assert preference_source(tmp_path, wait_s=0.0).num_shards() == (1, False)
        writer.finish()
    assert preference_source(tmp_path, wait_s=0.0).num_shards() == (1, True)


def test_no_manifest_is_a_usage_error(tmp_path):
    with pytest.raises(UsageError, match=r"no manifest\.jsonl"):
        preference_source(tmp_path, wait_s=0.0)


def test_labeling_that_starts_a_little_later_is_waited_for(tmp_path):
    starting = threading.Timer(0.2, lambda: ShardWriter(tmp_path).close())
    starting.start()
    source = preference_source(tmp_path, wait_s=1000.0, poll_every_s=0.001)
    starting.join()
    assert source.num_shards() == (0, False)


def test_a_signal_ends_the_wait(tmp_path):
    ShardWriter(tmp_path).close()
    source = preference_source(tmp_path, wait_s=1000.0, poll_every_s=0.001)
    with graceful_stop():
        os.kill(os.getpid(), signal.SIGTERM)
        with pytest.raises(PreemptedError, match="stopped while waiting"):
            source.wait()
