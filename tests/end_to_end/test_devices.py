"""One config gives the same losses on one device and on eight."""

import signal

import pytest


def test_sft_on_eight_devices(rlaif, study, tmp_path, losses):
    document = study.sft(mesh={"data": 2, "fsdp": 4})
    eight = rlaif.run("sft", document, tmp_path / "sft", devices=8)
    assert losses(eight) == pytest.approx(losses(study.base), rel=1e-5)


def test_dpo_with_rows_split_over_devices(rlaif, study, dpo_alone, tmp_path, losses):
    # another row length than alone: packing changes no loss
    document = study.dpo(mesh={"data": 2, "fsdp": 2, "sequence": 2})
    eight = rlaif.run("dpo", document, tmp_path / "dpo", devices=8)
    assert losses(eight) == pytest.approx(losses(dpo_alone), rel=1e-5)


def test_dpo_on_eight_devices(rlaif, study, dpo_alone, tmp_path, losses):
    eight = rlaif.run("dpo", study.dpo(), tmp_path / "dpo", devices=8)
    assert losses(eight) == pytest.approx(losses(dpo_alone), rel=1e-5)


@pytest.mark.slow
def test_a_run_goes_on_with_other_numbers_of_devices(
    rlaif, study, tmp_path, losses, wait_until
):
    document = study.sft(epochs=8)  # 60 steps
    unbroken = rlaif.run("sft", document, tmp_path / "unbroken", devices=4)
    out = tmp_path / "elastic"

    def num_lines():
        path = out / "metrics.jsonl"
        return path.read_bytes().count(b"\n") if path.is_file() else 0

    for devices in (4, 2):
        wanted = num_lines() + 15
        process = rlaif.start("sft", document, out, devices=devices)
        wait_until(lambda wanted=wanted: num_lines() >= wanted, process)
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=60) == 75, process.log.read_text()
    assert num_lines() < 60
    rlaif.run("sft", document, out, devices=8)
    assert len(losses(out)) == 60
    assert losses(out) == pytest.approx(losses(unbroken), rel=1e-5)
