"""Four real `jax.distributed` processes train as one does."""

import pytest

from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import ShardWriter


def num_lines(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


@pytest.fixture
def blocks(study):
    """The study's preferences, ten at a time."""
    source = ManifestSource(study.labels, wait_s=0.0)
    shards = range(source.num_shards()[0])
    records = [record for shard in shards for record in source.rows(shard)]
    return [records[start : start + 10] for start in range(0, len(records), 10)]


def test_sft_and_dpo(rlaif, pod_sft, pod_dpo, tmp_path, losses):
    document, out = pod_sft
    alone = rlaif.run("sft", document, tmp_path / "sft")
    assert len(losses(out)) == 30
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)
    document, out = pod_dpo
    alone = rlaif.run("dpo", document, tmp_path / "dpo")
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)


@pytest.fixture
def pod_dpo(study, pods, blocks, tmp_path, wait_until):
    """DPO on four processes beside a writer: its config, once all is written, and out.

    A shard is sealed once all that was sealed before is trained on.
    """
    assert len(blocks) > 3
    growing, out = tmp_path / "growing", tmp_path / "pod_dpo"
    document = study.dpo(
        preferences=str(growing), rows={"layout": "padded"}, epochs=1, wait_s=120
    )
    with ShardWriter(growing) as writer:
        writer.add(blocks[0])
        pod = pods("dpo", document, out)
        for number, block in enumerate(blocks[1:], start=1):
            steps = number * 10 // 8
            wait_until(lambda steps=steps: num_lines(out) >= steps, pod, timeout_s=200)
            assert pod.poll() is None, pod.output(0)
            writer.add(block)
        writer.finish()
    assert pod.codes() == [0] * 4, pod.output(0)
    return document, out
