"""Two processes of two devices each train as one process does."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rlaif_jax.data.shards import ShardWriter
from rlaif_jax.records import Message, Preference

PROGRAM = Path(__file__).with_name("pod_process.py").read_text()
ROOT = Path(__file__).parents[2]


def preference(n):
    def said(times):
        return (Message(role="assistant", content="x" * times),)

    names = set(Preference.model_fields)
    texts = {name: str(n) for name in names}
    return Preference(
        **texts
        | {
            "prompt": (Message(role="user", content="?"),),
            "chosen": said(1 + n % 4),
            "rejected": said(2 + n % 3),
            "p_chosen": 1.0,
            "label_cost_usd": 0.0,
        }
    )


FILES = ("metrics.jsonl", "validation.jsonl", "best.json")


def lines(out, file):
    return [json.loads(x) for x in (out / file).read_text().splitlines()]


@pytest.mark.slow
def test_a_pod_trains_as_one_process_and_resumes_bit_by_bit(tmp_path, local_pod):
    folder = tmp_path / "preferences"
    with ShardWriter(folder) as writer:
        for start in (0, 12):
            writer.add([preference(n) for n in range(start, start + 12)])
        writer.finish()

    def train(out, stop_at):
        ends = local_pod(PROGRAM, [folder, out, stop_at])
        return [end.returncode for end in ends[-2:]]  # after those of earlier calls

    alone, pod, broken = (tmp_path / name for name in ("alone", "pod", "broken"))
    command = [sys.executable, "-c", PROGRAM, str(folder), str(alone), "-1"]
    subprocess.run(command, check=True, cwd=ROOT)
    assert train(pod, -1) == [0, 0]
    for file in FILES[:2]:
        for one, other in zip(lines(alone, file), lines(pod, file), strict=True):
            assert other == pytest.approx(one, rel=1e-5, abs=1e-5)
    assert train(broken, 3) == [75, 75]
    assert train(broken, -1) == [0, 0]
    for file in FILES:
        assert (pod / file).read_bytes() == (broken / file).read_bytes()
