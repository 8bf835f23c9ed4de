"""Workers get this checkout."""

import subprocess


def test_workers_have_what_is_here(cloud):
    cloud.run("tpu_create.sh")
    done = cloud.run("tpu_setup.sh")
    assert done.code == 0, done.output
    here = subprocess.check_output(["git", "rev-parse", "HEAD"], text=True).strip()
    for worker in (0, 1):
        checkout = cloud.folder / f"hosts/pod/{worker}/rlaif_jax"
        assert (checkout / "rlaif_jax/cli.py").exists()
        assert (checkout / ".stamp").read_text().startswith(here)


def test_a_checkout_without_git_is_copied_too(cloud):
    cloud.run("tpu_create.sh")
    done = cloud.run("tpu_setup.sh", GIT_DIR="/nowhere")
    assert done.code == 0, done.output
    checkout = cloud.folder / "hosts/pod/1/rlaif_jax"
    assert (checkout / "launch/worker.sh").exists()
    assert not list(checkout.glob("**/__pycache__"))
    assert (checkout / ".stamp").read_text().startswith("no-commit-")


def test_a_second_setup_leaves_nothing_of_the_first(cloud):
    cloud.run("tpu_create.sh")
    cloud.run("tpu_setup.sh")
    old = cloud.folder / "hosts/pod/0/rlaif_jax/removed_since.py"
    old.touch()
    assert cloud.run("tpu_setup.sh").code == 0
    assert not old.exists()


def test_a_connection_that_fails_is_tried_again(cloud):
    cloud.script(ssh=[{"match": "scp|tar", "times": 2, "code": 255}])
    cloud.run("tpu_create.sh")
    assert cloud.run("tpu_setup.sh").code == 0


def test_an_unreachable_slice_is_told_from_a_failed_installation(cloud):
    cloud.script(ssh=[{"match": "scp", "times": 3, "code": 255}])
    cloud.run("tpu_create.sh")
    assert cloud.run("tpu_setup.sh").code == 255
    assert cloud.run("tpu_setup.sh", INSTALL="false").code == 70
