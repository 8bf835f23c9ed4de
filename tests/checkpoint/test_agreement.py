"""Tests of `rlaif_jax.checkpoint.agreement`."""

import pytest

from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.errors import CorruptDataError, InternalError


def raising(error):
    def action():
        raise error

    return action


def test_one_process_gets_the_result_itself():
    assert on_first_process(lambda: 41, what="count") == 41


def test_errors_of_the_operating_system_end_a_run_as_internal():
    with pytest.raises(InternalError, match=r"cannot save step 3: .*No space"):
        on_first_process(raising(OSError(28, "No space left")), what="save step 3")


def test_command_errors_pass_unchanged():
    with pytest.raises(CorruptDataError, match=r"^bad shard$"):
        on_first_process(raising(CorruptDataError("bad shard")), what="read")


PROGRAM = """
import jax
from rlaif_jax.checkpoint.agreement import on_first_process
from rlaif_jax.errors import CommandError, RefusedError
from rlaif_jax.runtime import distributed
distributed.start()
me = jax.process_index()
assert on_first_process(lambda: 41 + me, what="count") == 41
for error in (OSError("disk full"), RefusedError("no")):
    def action():
        assert me == 0
        raise error
    try:
        on_first_process(action, what="act")
    except CommandError as told:
        print(told.exit_code, told, flush=True)
"""


def test_two_processes_share_results_and_failures(local_pod):
    first, second = local_pod(PROGRAM, [])
    assert first.returncode == second.returncode == 0, second.stderr[-2000:]
    assert first.stdout == "70 cannot act: disk full\n78 no\n"
    told = "process 0 could not act: its own message says why"
    assert second.stdout == f"70 {told}\n78 {told}\n"
