"""Four real `jax.distributed` processes train as one does."""

import pytest

from rlaif_jax.data.row_sources import ManifestSource
from rlaif_jax.data.shards import ShardWriter


def num_lines(out):
    path = out / "metrics.jsonl"
    return path.read_bytes().count(b"\n") if path.is_file() else 0


def test_sft_and_dpo(rlaif, study, pods, pod_sft, tmp_path, losses, wait_until):
    document, out = pod_sft
    alone = rlaif.run("sft", document, tmp_path / "sft")
    assert len(losses(out)) == 30
    assert losses(out) == pytest.approx(losses(alone), rel=1e-5)

    # shards come in while the processes train
    finished, growing = tmp_path / "finished", tmp_path / "growing"
    source = ManifestSource(study.labels, wait_s=0)
    records = [
        record
        for shard in range(source.num_shards()[0])
        for record in source.rows(shard)
    ]
    blocks = [records[start : start + 10] for start in range(0, len(records), 10)]
    assert len(blocks) > 3
    document = study.dpo(rows={"layout": "padded"}, epochs=1, wait_s=120)
    dpo = tmp_path / "dpo"
    with ShardWriter(growing) as writer:
        writer.add(blocks[0])
        pod = pods("dpo", document | {"preferences": str(growing)}, dpo)
        for number, block in enumerate(blocks[1:], start=1):
            steps = number * 10 // 8  # of what is sealed, all is trained on
            wait_until(lambda steps=steps: num_lines(dpo) >= steps, pod, timeout_s=200)
            assert pod.poll() is None, pod.output(0)
            writer.add(block)
        writer.finish()
    with ShardWriter(finished) as writer:
        for block in blocks:
            writer.add(block)
        writer.finish()
    assert pod.codes() == [0] * 4, pod.output(0)
    alone = rlaif.run(
        "dpo", document | {"preferences": str(finished)}, tmp_path / "alone"
    )
    assert losses(dpo) == pytest.approx(losses(alone), rel=1e-5)
