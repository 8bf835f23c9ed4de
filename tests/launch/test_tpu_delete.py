"""What was there is gone afterwards, or the exit code says that it is not."""


def test_a_slice_is_gone_afterwards(cloud):
    cloud.run("tpu_create.sh")
    assert cloud.run("tpu_delete.sh").code == 0
    assert cloud.left() == []


def test_nothing_to_delete_is_no_failure(cloud):
    assert cloud.run("tpu_delete.sh").code == 0


def test_a_deletion_that_fails_once_is_tried_again(cloud):
    cloud.run("tpu_create.sh")
    state = cloud.left()
    cloud.script_more(delete=["fails"])
    done = cloud.run("tpu_delete.sh")
    assert (state, cloud.left()) == (["pod"], [])
    assert done.code == 0
    assert len(cloud.calls("delete")) == 2


def test_a_deletion_that_fails_for_good_is_loud(cloud):
    cloud.run("tpu_create.sh")
    cloud.script_more(undeletable=True)
    done = cloud.run("tpu_delete.sh", DELETE_TRIES="3")
    assert done.code == 70
    assert "NOT DELETED after 3 tries" in done.output
    by_hand = (
        "gcloud compute tpus queued-resources delete pod --zone=us-east5-b --force"
    )
    assert by_hand in done.output
    assert len(cloud.calls("delete")) == 3
