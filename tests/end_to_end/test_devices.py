"""One config gives the same losses on one device and on eight."""

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
