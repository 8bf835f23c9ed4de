"""A verb runs once on every worker, as the user wrote it, and ends with its code."""

import signal
import time

import pytest

NASTY = [
    "", " ", "  two  blanks ", "\t", "a\tb", "line\nbreak", "\n", "trailing\n",
    "a\r\nb", "'", "''", "it's", '"', '"quoted"', "`id`", "$(id)", "$HOME", "${PATH}",
    "$", "$$", "\\", "\\\\", "\\n", "a\\ b", ";", "; exit 3", "&& false", "|| true",
    "|", "&", ">x", "<x", "*", "?", "[a-z]", "~", "#", "!", "!!", "{a,b}", "{", "(",
    ")", "=", "key={a: 1}", "%s", "%n", "-n", "--", "naïve", "日本語", "🙂",
    "\u00a0", "\u200b", "\x01", "\x7f", "x" * 3000,
]  # fmt: skip


@pytest.fixture
def pod(cloud):
    """A slice of two workers that is set up."""

    def prepare(**environment):
        for script in ("tpu_create.sh", "tpu_setup.sh"):
            done = cloud.run(script, **environment)
            assert done.code == 0, done.output
        return cloud

    return prepare


def test_every_worker_runs_it_once(pod):
    cloud = pod()
    done = cloud.run("tpu_run.sh", *cloud.training)
    assert done.code == 0, done.output
    assert "attempt 0 of worker 0.0" in done.output
    for worker in ("0.0", "0.1"):
        (facts,) = cloud.started(worker)
        assert facts["arguments"] == [str(word) for word in cloud.training]
        environment = facts["environment"]
        assert environment["RLAIF_DISTRIBUTED"] == "auto"
        assert environment["JAX_COORDINATOR_PORT"] == "8476"
        assert "MEGASCALE_NUM_SLICES" not in environment
        soft, hard = facts["files"]
        assert soft == min(100000, hard)


def test_arguments_arrive_as_they_were_written(pod):
    cloud = pod()
    done = cloud.run("tpu_run.sh", *NASTY, "--out", cloud.out)
    assert done.code == 0, done.output
    assert len(NASTY) >= 50
    for worker in ("0.0", "0.1"):
        (facts,) = cloud.started(worker)
        assert facts["arguments"] == [*NASTY, "--out", str(cloud.out)]


@pytest.mark.parametrize("script", ["tpu_run.sh", "tpu_watch.sh"])
@pytest.mark.parametrize("out", [[], ["--out", "runs/sft"], ["--out=runs/sft"]])
def test_a_run_folder_that_workers_do_not_share_is_refused(cloud, script, out):
    done = cloud.run(script, "sft", "config.yaml", *out)
    assert done.code == 2
    assert "give --out an absolute folder" in done.output
    assert not out or "--out runs/sft is relative" in done.output
    assert cloud.calls() == []


def test_several_slices_know_each_other(pod):
    cloud = pod(TPU_SLICES="2")
    done = cloud.run("tpu_run.sh", *cloud.training, TPU_SLICES="2")
    assert done.code == 0, done.output
    for slice_number in (0, 1):
        for worker in (0, 1):
            (facts,) = cloud.started(f"{slice_number}.{worker}")
            environment = facts["environment"]
            assert environment["MEGASCALE_COORDINATOR_ADDRESS"] == "10.0.0.0"
            assert environment["MEGASCALE_NUM_SLICES"] == "2"
            assert environment["MEGASCALE_SLICE_ID"] == str(slice_number)


def test_the_code_of_one_worker_is_reported_though_the_others_succeed(pod):
    cloud = pod(TPU_SLICES="2")
    cloud.plan(w1_1=[["exit 65"]], **{"*": [["exit 0"]]})
    done = cloud.run("tpu_run.sh", *cloud.training, TPU_SLICES="2")
    assert done.code == 65
    assert "worker 1 of pod-1 ended with exit code 65" in done.output


def test_the_cause_is_reported_and_not_what_it_did_to_the_peers(pod):
    cloud = pod()  # gcloud itself would answer with worker 0's code
    cloud.plan(w0_0=[["exit 134"]], w0_1=[["exit 2"]])
    assert cloud.run("tpu_run.sh", *cloud.training).code == 2


def test_peers_of_a_failed_worker_are_stopped(pod):
    cloud = pod()
    cloud.plan(w0_0=[["wait"]], w0_1=[["exit 65"]])
    done = cloud.run("tpu_run.sh", *cloud.training, PEERS_S="0")
    assert done.code == 65
    assert "worker 0 of pod ended with exit code 75" in done.output


def test_a_killed_process_is_told_from_a_lost_connection(pod):
    cloud = pod()
    cloud.plan(w0_0=[["exit 0"]], w0_1=[["killed"]])
    assert cloud.run("tpu_run.sh", *cloud.training).code == 137


def test_nothing_starts_unless_all_workers_answer(pod):
    cloud = pod()
    cloud.script_more(ssh=[{"match": "hello", "times": 9, "silent": [1]}])
    done = cloud.run("tpu_run.sh", *cloud.training)
    assert done.code == 255
    assert "1 of 2 workers of pod answer" in done.output
    assert cloud.started("0.0") == []


def test_a_worker_that_answers_late_is_waited_for(pod):
    cloud = pod()
    cloud.script_more(ssh=[{"match": "hello", "times": 1, "silent": [1]}])
    assert cloud.run("tpu_run.sh", *cloud.training).code == 0


@pytest.mark.parametrize(
    ("slices", "workers"), [("1", ["pod/1"]), ("2", ["pod-1/0", "pod-1/1"])]
)
def test_nothing_starts_with_different_checkouts(pod, slices, workers):
    cloud = pod(TPU_SLICES=slices)
    for worker in workers:
        stamp = cloud.folder / "hosts" / worker / "rlaif_jax/.stamp"
        stamp.write_text("another\n")
    done = cloud.run("tpu_run.sh", *cloud.training, TPU_SLICES=slices)
    assert done.code == 2
    assert "different checkouts" in done.output
    assert cloud.started("0.0") == []


def test_a_lost_connection_finds_its_run_again(pod):
    cloud = pod()
    ready, go = cloud.out / "checkpoints/1", cloud.folder / "go"
    cloud.plan(**{"*": [["save 1", f"wait {go}", "exit 0"]]})
    cloud.script_more(ssh=[{"match": " run ", "times": 1, "cut": str(ready)}])
    run = cloud.start("tpu_run.sh", *cloud.training)
    while "was lost" not in run.log.read_text():
        assert run.poll() is None
        time.sleep(0.02)
    go.touch()
    assert cloud.end(run).code == 0, run.output
    for worker in ("0.0", "0.1"):
        assert len(cloud.started(worker)) == 1


def test_a_connection_that_stays_lost_is_told(pod):
    cloud = pod()
    cloud.script_more(ssh=[{"match": " run ", "times": 9, "code": 255}])
    assert cloud.run("tpu_run.sh", *cloud.training).code == 255


def test_an_interrupt_lets_all_workers_save(pod):
    cloud = pod()
    cloud.plan(**{"*": [["save 1", "wait"]]})
    run = cloud.start("tpu_run.sh", *cloud.training)
    cloud.wait_for(cloud.folder / "started-0.0.jsonl", run)
    cloud.wait_for(cloud.folder / "started-0.1.jsonl", run)
    run.send_signal(signal.SIGINT)
    assert cloud.end(run).code == 75, run.output
    assert "saved" in run.output


def test_a_new_run_ends_an_old_one_first(pod):
    cloud = pod()
    cloud.plan(**{"*": [["save 1", "wait"], ["exit 0"]]})
    old = cloud.start("tpu_run.sh", *cloud.training)
    cloud.wait_for(cloud.folder / "started-0.0.jsonl", old)
    cloud.wait_for(cloud.folder / "started-0.1.jsonl", old)
    assert cloud.run("tpu_run.sh", *cloud.training).code == 0
    assert cloud.end(old).code == 75


def test_a_lock_that_nobody_holds_is_removed(pod):
    cloud = pod()
    lock = cloud.folder / "hosts/pod/1/libtpu_lockfile"
    lock.touch()
    assert cloud.run("tpu_run.sh", *cloud.training).code == 0
    assert not lock.exists()


def test_a_lock_that_somebody_holds_is_respected(pod):
    cloud = pod()
    lock = cloud.folder / "hosts/pod/0/libtpu_lockfile"
    with lock.open("w"):
        done = cloud.run("tpu_run.sh", *cloud.training)
    assert done.code == 70
    assert "the TPU is held by process" in done.output
    assert lock.exists()
    assert cloud.started("0.0") == []


def test_secrets_are_fetched_on_the_workers(pod):
    cloud = pod()
    cloud.script_more(secrets={"judge": cloud.secret})
    done = cloud.run("tpu_run.sh", *cloud.training, SECRETS="OPENAI_API_KEY=judge")
    assert done.code == 0, done.output
    assert cloud.started("0.1")[0]["environment"]["OPENAI_API_KEY"] == cloud.secret
    assert cloud.secret not in done.output
    assert "OPENAI_API_KEY=judge" in str(cloud.calls("ssh"))


def test_a_key_in_the_place_of_a_secrets_name_is_refused_and_not_shown(cloud):
    done = cloud.run(
        "tpu_run.sh", *cloud.training, SECRETS=f"OPENAI_API_KEY={cloud.secret}"
    )
    assert done.code == 2
    assert "looks like the key itself" in done.output
    assert cloud.secret not in done.output
    assert cloud.calls() == []


def test_a_secret_that_cannot_be_read_is_named(pod):
    cloud = pod()
    done = cloud.run("tpu_run.sh", *cloud.training, SECRETS="OPENAI_API_KEY=judge")
    assert done.code == 2
    assert "cannot read the secret judge for OPENAI_API_KEY" in done.output


def test_variables_are_passed_on_unless_they_look_secret(pod):
    cloud = pod()
    variables = {"LIBTPU_INIT_ARGS": "--a=1 --b='2 3'", "FORWARD": "LIBTPU_INIT_ARGS"}
    assert cloud.run("tpu_run.sh", *cloud.training, **variables).code == 0
    environment = cloud.started()[0]["environment"]
    assert environment["LIBTPU_INIT_ARGS"] == "--a=1 --b='2 3'"
    done = cloud.run(
        "tpu_run.sh",
        *cloud.training,
        FORWARD="WANDB_API_KEY",
        WANDB_API_KEY=cloud.secret,
    )
    assert done.code == 2
    assert "name it in SECRETS" in done.output


def test_the_logs_of_all_workers_can_be_fetched(pod):
    cloud = pod()
    cloud.run("tpu_run.sh", *cloud.training)
    target = cloud.folder / "fetched"
    assert cloud.run("tpu_logs.sh", target).code == 0
    for worker in (0, 1):
        text = (target / f"pod-{worker}.log").read_text()
        assert f"attempt 0 of worker 0.{worker}" in text


def test_logs_of_the_others_are_fetched_if_one_does_not_answer(pod):
    cloud = pod()
    cloud.run("tpu_run.sh", *cloud.training)
    cloud.script_more(ssh=[{"match": " log$", "times": 1, "code": 255}])
    done = cloud.run("tpu_logs.sh", "fetched")
    assert done.code == 255
    assert "worker 0 of pod does not answer" in done.output
    assert "worker 0.1" in (cloud.folder / "fetched/pod-1.log").read_text()
