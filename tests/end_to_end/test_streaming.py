"""`dpo` may follow `label` while it writes, and comes to the same steps."""


def test_dpo_beside_label_gives_the_metrics_of_dpo_after_it(
    rlaif, lab, study, tmp_path, wait_until
):
    labels, out = tmp_path / "labels", tmp_path / "beside"
    document = study.dpo(preferences=str(labels), batch_size=4)
    lab.held_after = 48  # of 96: labeling cannot end before DPO has begun
    training = rlaif.start("dpo", document, out)
    labeling = rlaif.start("label", study.label(max_in_flight=2), labels)

    def has_step():
        path = out / "metrics.jsonl"
        return path.is_file() and path.stat().st_size > 0

    wait_until(has_step, training)
    assert has_step(), training.log.read_text()
    assert labeling.poll() is None
    lab.held_after = None
    assert labeling.wait(timeout=60) == 0
    assert training.wait(timeout=120) == 0, training.log.read_text()
    after = rlaif.run("dpo", document, tmp_path / "after")
    assert (out / "metrics.jsonl").read_bytes() == (
        after / "metrics.jsonl"
    ).read_bytes()


def test_dpo_without_labeling_says_what_is_missing(rlaif, study, tmp_path):
    document = study.dpo(preferences=str(tmp_path / "nothing"), wait_s=1.0)
    process = rlaif.start("dpo", document, tmp_path / "dpo")
    assert process.wait(timeout=60) == 2
    assert "manifest" in process.log.read_text()
