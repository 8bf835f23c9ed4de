"""The watcher brings a run to its end, and leaves nothing that costs."""

import signal
import time

import pytest


def attempts(cloud):
    return len(cloud.started("0.0")), len(cloud.started("0.1"))


def test_a_run_that_succeeds_gives_the_slice_back(cloud):
    done = cloud.watch()
    assert done.code == 0, done.output
    assert attempts(cloud) == (1, 1)
    assert cloud.left() == []


def test_keep_leaves_the_slice(cloud):
    assert cloud.watch(KEEP="1").code == 0
    assert cloud.left() == ["pod"]


def test_a_preempted_slice_is_asked_for_again_and_the_run_goes_on(cloud):
    cloud.plan(
        w0_0=[["save 3", "preempt pod"], ["exit 0"]], w0_1=[["wait"], ["exit 0"]]
    )
    done = cloud.watch()
    assert done.code == 0, done.output
    assert "newest checkpoint: 3" in done.output
    assert len(cloud.calls("create")) == 2
    assert len(cloud.calls("scp")) == 2  # new machines are empty
    assert cloud.left() == []


def test_progress_starts_the_count_of_restarts_again(cloud):
    first = [["save 1", "preempt pod"], ["save 2", "preempt pod"], ["exit 0"]]
    cloud.plan(w0_0=first, w0_1=[["wait"], ["wait"], ["exit 0"]])
    done = cloud.watch(MAX_RESTARTS="1")
    assert done.code == 0, done.output
    assert len(cloud.calls("create")) == 3


def test_a_run_without_progress_is_given_up(cloud):
    cloud.plan(**{"*": [["save 4", "exit 70"], ["exit 70"]]})
    done = cloud.watch(MAX_RESTARTS="2")
    assert done.code == 70
    assert "given up after 2 restarts without a newer checkpoint" in done.output
    assert attempts(cloud) == (3, 3)
    assert cloud.left() == []


def test_a_command_of_the_users_can_say_what_progress_is(cloud):
    cloud.plan(**{"*": [["exit 70"]] * 3 + [["exit 0"]]})
    count = f"wc -l <'{cloud.folder}/started-0.0.jsonl'"
    done = cloud.watch(MAX_RESTARTS="1", PROGRESS=count)
    assert done.code == 0, done.output
    assert attempts(cloud) == (4, 4)


@pytest.mark.parametrize("code", [2, 65, 78])
def test_what_would_fail_again_is_not_started_again(cloud, code):
    cloud.plan(w0_0=[["exit 0"]], w0_1=[[f"exit {code}"]])
    done = cloud.watch()
    assert done.code == code
    assert attempts(cloud) == (1, 1)
    assert cloud.left() == []
    assert "attempt 0" in (cloud.folder / "pod.logs/pod-1.log").read_text()


@pytest.mark.parametrize("how", ["exit 75", "exit 70", "killed"])
def test_what_may_do_better_is_started_again_on_the_same_slice(cloud, how):
    cloud.plan(w0_0=[["exit 0"]], w0_1=[[how], ["exit 0"]])
    done = cloud.watch()
    assert done.code == 0, done.output
    assert attempts(cloud) == (2, 2)
    assert len(cloud.calls("create")) == len(cloud.calls("scp")) == 1


def test_a_slice_whose_worker_stays_silent_is_exchanged(cloud):
    cloud.script(ssh=[{"match": "hello", "times": 4, "silent": [1]}])
    done = cloud.watch()
    assert done.code == 0, done.output
    assert len(cloud.calls("create")) == 2
    assert attempts(cloud) == (1, 1)


def test_a_set_up_that_cannot_connect_is_done_again(cloud):
    cloud.script(ssh=[{"match": "scp", "times": 3, "code": 255}])
    done = cloud.watch()
    assert done.code == 0, done.output
    assert attempts(cloud) == (1, 1)


def test_a_slice_that_hangs_when_it_is_taken_away_is_noticed(cloud):
    cloud.plan(**{"*": [["wait"], ["exit 0"]]})
    watch = cloud.start("tpu_watch.sh", *cloud.training)
    cloud.wait_for(cloud.folder / "started-0.0.jsonl", watch)
    cloud.wait_for(cloud.folder / "started-0.1.jsonl", watch)
    cloud.forget("pod")  # its machines do not even close their connections
    assert cloud.end(watch).code == 0, watch.output
    assert "the slices are gone" in watch.output
    assert cloud.left() == []


def test_a_gcloud_that_does_not_answer_costs_no_slice(cloud):
    cloud.plan(**{"*": [["exit 70"], ["exit 0"]]})
    cloud.script(describe=[None, None, *["silent"] * 5])  # ABSENT, ACTIVE, a run's end
    done = cloud.watch(WATCH_S="60")
    assert done.code == 0, done.output
    assert "gcloud does not answer: asking again" in done.output
    assert len(cloud.calls("create")) == len(cloud.calls("delete")) == 1
    assert attempts(cloud) == (2, 2)


def test_a_gcloud_that_never_answers_again_is_given_up(cloud):
    cloud.plan(**{"*": [["exit 70"]]})
    cloud.script(describe=[None, None, *["silent"] * 5])
    done = cloud.watch(ANSWER_TRIES="2", WATCH_S="60")
    assert done.code == 70
    assert "gcloud does not answer: given up" in done.output
    assert attempts(cloud) == (1, 1)


def test_want_of_capacity_ends_it(cloud):
    cloud.script(states=[["FAILED"]] * 9)
    assert cloud.watch(MAX_TRIES="2").code == 75
    assert cloud.left() == []


def test_a_slice_that_cannot_be_deleted_is_told(cloud):
    cloud.script(undeletable=True)
    done = cloud.watch(DELETE_TRIES="2")
    assert done.code == 70
    assert "NOT DELETED" in done.output


def test_an_interrupt_while_it_waits_leaves_nothing(cloud):
    cloud.script(states=[["WAITING_FOR_RESOURCES"]])
    watch = cloud.start("tpu_watch.sh", *cloud.training, POLL_S="50")
    while "WAITING" not in watch.log.read_text():
        assert watch.poll() is None
        time.sleep(0.02)
    watch.send_signal(signal.SIGINT)
    assert cloud.end(watch).code == 130, watch.output
    assert cloud.left() == []


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)]
)
def test_an_interrupt_while_it_runs_saves_and_leaves_nothing(cloud, number, code):
    cloud.plan(**{"*": [["wait"]]})
    watch = cloud.start("tpu_watch.sh", *cloud.training)
    cloud.wait_for(cloud.folder / "started-0.0.jsonl", watch)
    cloud.wait_for(cloud.folder / "started-0.1.jsonl", watch)
    watch.send_signal(number)
    assert cloud.end(watch).code == code, watch.output
    assert "saved" in watch.output
    assert attempts(cloud) == (1, 1)
    assert cloud.left() == []


def test_a_stop_file_ends_it(cloud):
    cloud.plan(**{"*": [["wait"]]})
    watch = cloud.start("tpu_watch.sh", *cloud.training)
    cloud.wait_for(cloud.folder / "started-0.0.jsonl", watch)
    (cloud.folder / "pod.stop").touch()
    assert cloud.end(watch).code == 75, watch.output
    assert "saved" in watch.output
    assert cloud.left() == []


def test_the_hours_are_bounded(cloud):
    cloud.plan(**{"*": [["wait"]]})
    done = cloud.watch(MAX_HOURS="0.0008")
    assert done.code == 75
    assert "MAX_HOURS=0.0008 are over" in done.output
    assert cloud.left() == []
