"""Training, killed or preempted at any step, ends bit by bit as if it had not been."""

import random
import signal

import pytest

from rlaif_jax.checkpoint import store

EVERY = {"every_steps": 25}


def num_lines(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.fixture
def interrupt(rlaif, wait_until):
    """Runs until some more steps were reported, then signals; gives the exit code."""

    def run(verb, document, out, *, steps, number):
        wanted = num_lines(out) + steps
        process = rlaif.start(verb, document, out)
        wait_until(lambda: num_lines(out) >= wanted, process)
        process.send_signal(number)
        return process.wait(timeout=60)

    return run


def test_sft_killed_twice_and_preempted_once(
    rlaif, study, tmp_path, interrupt, assert_same_end
):
    document = study.sft(epochs=32, checkpoint=EVERY)  # 240 steps
    unbroken = rlaif.run("sft", document, tmp_path / "unbroken")
    assert num_lines(unbroken) == 240
    broken, draw = tmp_path / "broken", random.Random(1)
    for _ in range(2):
        steps = draw.randrange(1, 30)
        code = interrupt("sft", document, broken, steps=steps, number=signal.SIGKILL)
        assert code == -signal.SIGKILL
    steps = draw.randrange(1, 30)
    assert interrupt("sft", document, broken, steps=steps, number=signal.SIGTERM) == 75
    stopped_at = num_lines(broken)
    assert store.latest_step(store.open_folder(broken)) == stopped_at < 240
    rlaif.run("sft", document, broken)
    assert_same_end(unbroken, broken)


def test_dpo_killed(rlaif, study, tmp_path, interrupt, assert_same_end):
    document = study.dpo(epochs=24, checkpoint=EVERY)
    unbroken = rlaif.run("dpo", document, tmp_path / "unbroken")
    broken = tmp_path / "broken"
    code = interrupt("dpo", document, broken, steps=33, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    assert store.latest_step(store.open_folder(broken)) in (25, 50)
    rlaif.run("dpo", document, broken)
    assert_same_end(unbroken, broken)


def test_reward_killed(rlaif, study, tmp_path, interrupt, assert_same_end):
    document = study.dpo(epochs=24, checkpoint=EVERY)
    del document["loss"]
    unbroken = rlaif.run("reward", document, tmp_path / "unbroken")
    broken = tmp_path / "broken"
    code = interrupt("reward", document, broken, steps=33, number=signal.SIGKILL)
    assert code == -signal.SIGKILL
    rlaif.run("reward", document, broken)
    assert_same_end(unbroken, broken)
    told = [out / "calibration.json" for out in (unbroken, broken)]
    assert told[0].read_bytes() == told[1].read_bytes()


@pytest.mark.slow
def test_dpo_preempted(rlaif, study, tmp_path, interrupt, assert_same_end):
    document = study.dpo(epochs=24, checkpoint=EVERY)
    unbroken = rlaif.run("dpo", document, tmp_path / "unbroken")
    broken = tmp_path / "broken"
    assert interrupt("dpo", document, broken, steps=14, number=signal.SIGTERM) == 75
    rlaif.run("dpo", document, broken)
    assert_same_end(unbroken, broken)
