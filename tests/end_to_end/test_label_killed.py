"""`label`, killed at any moment, loses nothing and pays for nothing twice."""

import random
import signal
import time

from rlaif_jax.files import read_records
from rlaif_jax.records import Label

KILLS, IN_FLIGHT = 10, 4


def sealed(out):
    return {path.name: path.read_bytes() for path in out.glob("*.parquet")} | {
        "manifest.jsonl": (out / "manifest.jsonl").read_bytes()
    }


def test_ten_kills_leave_one_label_each_and_the_bytes_of_an_unbroken_run(
    rlaif, lab, study, tmp_path, wait_until
):
    draw = random.Random(0)
    document = study.label(max_in_flight=IN_FLIGHT)
    lab.latency_s = 0.15
    for kill in range(KILLS):
        seen, wanted = lab.num_requests, draw.randrange(10)
        process = rlaif.start("label", document, tmp_path / "killed")
        if wanted:
            wait_until(lambda n=seen + wanted: lab.num_requests >= n, process)
        time.sleep(draw.uniform(0, 0.3))
        process.kill()
        code = process.wait()
        assert code == -signal.SIGKILL, f"{kill} came too late: {code}"
    killed = rlaif.run("label", document, tmp_path / "killed")
    num_requests = lab.num_requests
    assert lab.most_in_flight <= 2 * IN_FLIGHT  # a dead client's, and the next one's
    lab.latency_s = 0.0
    unbroken = rlaif.run("label", document, tmp_path / "unbroken")
    num_needed = lab.num_requests - num_requests

    files = sorted((killed / "labels").glob("*.jsonl"))
    labels = [label for file in files for label in read_records(file, Label)]
    assert len({label.pair_id for label in labels}) == len(labels) == 48
    assert sealed(killed) == sealed(unbroken)
    # equal completions are a tie without a call
    assert num_needed <= 2 * 48
    assert num_needed <= num_requests <= num_needed + KILLS * IN_FLIGHT
