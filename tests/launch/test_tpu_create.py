"""A request is waited for, made again when it dies, and never left behind."""

import signal

import pytest


def test_it_waits_until_the_slice_is_active(cloud):
    states = ["ACCEPTED", "WAITING_FOR_RESOURCES", "PROVISIONING", "ACTIVE"]
    cloud.script(states=[states])
    done = cloud.run("tpu_create.sh")
    assert done.code == 0, done.output
    assert [line.rsplit(" ", 1)[1] for line in done.output.splitlines()] == states
    assert len(cloud.calls("create")) == 1
    assert cloud.left() == ["pod"]


def test_a_slice_that_is_there_is_taken(cloud):
    assert cloud.run("tpu_create.sh").code == 0
    assert cloud.run("tpu_create.sh").code == 0
    assert len(cloud.calls("create")) == 1


@pytest.mark.parametrize(
    "dead",
    [
        ["WAITING_FOR_RESOURCES", "FAILED"],  # no capacity within the allocation's time
        ["WAITING_FOR_RESOURCES", "SUSPENDING"],
        ["PROVISIONING", "SUSPENDED"],
    ],
)
def test_a_dead_request_is_deleted_and_made_again(cloud, dead):
    cloud.script(states=[dead, ["ACTIVE"]])
    done = cloud.run("tpu_create.sh")
    assert done.code == 0, done.output
    order = [call[3] for call in cloud.calls() if call[3] != "describe"]
    assert order == ["create", "delete", "create"]
    assert "--force" in cloud.calls("delete")[0]


def test_a_stock_out_ends_after_some_tries_with_nothing_left(cloud):
    cloud.script(states=[["FAILED"]] * 9)
    done = cloud.run("tpu_create.sh", MAX_TRIES="3")
    assert done.code == 75
    assert "no slice after 3 requests" in done.output
    assert len(cloud.calls("create")) == 3
    assert cloud.left() == []


def test_a_creation_that_fails_is_tried_again(cloud):
    cloud.script(create=["UNAVAILABLE: no answer"])
    done = cloud.run("tpu_create.sh")
    assert done.code == 0, done.output
    assert len(cloud.calls("create")) == 2


@pytest.mark.parametrize("reason", ["PERMISSION_DENIED: tpu", "INVALID_ARGUMENT: zone"])
def test_a_refusal_is_not_tried_again(cloud, reason):
    cloud.script(create=[reason])
    done = cloud.run("tpu_create.sh")
    assert done.code == 2
    assert reason in done.output
    assert len(cloud.calls("create")) == 1
    assert cloud.left() == []


def test_a_gcloud_that_does_not_answer_for_a_moment_is_asked_again(cloud):
    cloud.script(states=[["PROVISIONING", "ACTIVE"]], describe=[None, "silent"])
    assert cloud.run("tpu_create.sh").code == 0
    assert len(cloud.calls("create")) == 1


def test_a_wait_that_is_too_long_ends_with_nothing_left(cloud):
    cloud.script(states=[["WAITING_FOR_RESOURCES"]])
    done = cloud.run("tpu_create.sh", MAX_WAIT_S="0")
    assert done.code == 75
    assert "MAX_WAIT_S=0" in done.output
    assert cloud.left() == []


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)],
)
def test_an_interrupted_wait_leaves_nothing(cloud, number, code):
    cloud.script(states=[["WAITING_FOR_RESOURCES"]])
    waiting = cloud.start("tpu_create.sh", POLL_S="50")
    while "WAITING" not in waiting.log.read_text():
        assert waiting.poll() is None
    waiting.send_signal(number)
    assert cloud.end(waiting).code == code, waiting.output
    assert cloud.left() == []


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"TPU_PROVISIONING": "cheap"}, "TPU_PROVISIONING=cheap"),
        ({"TPU_PROVISIONING": "flex-start"}, "set MAX_RUN_DURATION first"),
        ({"TPU_TYPE": "v6e-8"}, "set TPU_TOPOLOGY or TPU_TYPE, not both"),
        ({"TPU_TOPOLOGY": ""}, "set TPU_TYPE first"),
        ({"TPU_NAME": "pod one"}, "TPU_NAME=pod one"),
        ({"TPU_ZONE": ""}, "set TPU_ZONE first"),
        ({"TPU_SLICES": "two"}, "TPU_SLICES=two"),
        ({"MAX_TRIES": "often"}, "MAX_TRIES=often is not a number"),
    ],
)
def test_a_wrong_setting_is_named_before_anything_happens(cloud, variables, said):
    done = cloud.run("tpu_create.sh", **variables)
    assert done.code == 2
    assert said in done.output
    assert cloud.calls() == []
