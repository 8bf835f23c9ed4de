"""`rlaif_jax`, whose process 2 waits for ever for its seventh batch."""

import os
import time

from rlaif_jax import cli
from rlaif_jax.training.batches import Batches

next_batch, num_batches = Batches.__next__, 0


def a_disk_that_never_answers(batches):
    global num_batches
    num_batches += 1
    if num_batches == 7:
        time.sleep(100_000)
    return next_batch(batches)


if __name__ == "__main__":
    if os.environ["RLAIF_PROCESS_ID"] == "2":
        Batches.__next__ = a_disk_that_never_answers
    cli.main()
