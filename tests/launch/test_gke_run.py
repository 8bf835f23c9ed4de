"""A JobSet is followed to its end, and deleted."""

import signal
import time

import pytest


@pytest.fixture
def gke(cloud):
    """How a run on GKE ends, given how its pods end."""
    cloud.environment |= {"JOB_NAME": "aif", "IMAGE": "registry/rlaif:1"}

    def run(*pods, **environment):
        cloud.script(pods=pods)
        return cloud.run("gke_run.sh", *cloud.training, **environment)

    return run


def test_a_run_that_succeeds_is_deleted(cloud, gke):
    done = gke([0, 0])
    assert done.code == 0, done.output
    assert cloud.left() == []


def test_preempted_pods_are_restarted_by_the_cluster(cloud, gke):
    done = gke([75, "preempted"], [70, 134], [0, 0])
    assert done.code == 0, done.output
    assert "restart 2" in done.output
    assert len(cloud.calls("create")) == 1
    assert cloud.left() == []


@pytest.mark.parametrize("code", [1, 2, 65, 78, 127])
def test_a_pod_that_would_fail_again_ends_it(cloud, gke, code):
    done = gke([0, code])
    assert done.code == code
    assert "failed after 0 restarts" in done.output
    assert cloud.left() == []


def test_restarts_are_bounded(cloud, gke):
    done = gke([70, 134], MAX_RESTARTS="3")
    assert done.code == 70
    assert "failed after 3 restarts" in done.output
    assert cloud.left() == []


def test_a_deletion_that_fails_once_is_tried_again(cloud, gke):
    cloud.script(pods=[[0, 0]], delete=[True])
    assert cloud.run("gke_run.sh", *cloud.training).code == 0
    assert cloud.left() == []


def test_a_deletion_that_fails_for_good_is_loud(cloud, gke):
    cloud.script(pods=[[0, 0]], undeletable=True)
    done = cloud.run("gke_run.sh", *cloud.training, DELETE_TRIES="2")
    assert done.code == 70
    assert "kubectl delete jobset aif" in done.output


def test_a_jobset_that_somebody_has_deleted_is_not_waited_for(cloud, gke):
    cloud.script(pods=[["running"]], look=[None, "gone"])
    done = cloud.run("gke_run.sh", *cloud.training)
    assert done.code == 70
    assert "somebody has deleted the JobSet aif" in done.output


def test_a_cluster_that_does_not_answer_for_a_moment_is_asked_again(cloud, gke):
    cloud.script(pods=[["running"]], look=["silent", None, "silent", "gone"])
    done = cloud.run("gke_run.sh", *cloud.training, ANSWER_TRIES="2")
    assert "somebody has deleted" in done.output


def test_a_cluster_that_never_answers_again_is_given_up(cloud, gke):
    cloud.script(pods=[["running"]], look=["silent"] * 3)
    done = cloud.run("gke_run.sh", *cloud.training, ANSWER_TRIES="3")
    assert done.code == 70
    assert "the cluster does not answer" in done.output
    assert cloud.left() == []


def test_somebody_elses_jobset_is_left_alone(cloud, gke):
    gke([0, 0], KEEP="1")
    done = cloud.run("gke_run.sh", *cloud.training)
    assert done.code == 2
    assert "AlreadyExists" in done.output
    assert cloud.left() == ["aif"]


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupt_leaves_nothing(cloud, gke, number, code):
    cloud.script(pods=[["running", "running"]])
    run = cloud.start("gke_run.sh", *cloud.training)
    while "first pod" not in run.log.read_text():
        assert run.poll() is None
        time.sleep(0.02)
    run.send_signal(number)
    assert cloud.end(run).code == code, run.output
    assert cloud.left() == []
