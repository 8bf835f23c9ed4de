"""Workers get this checkout."""

import shutil
import subprocess
from pathlib import Path

LAUNCH = Path(__file__).parents[2] / "launch"


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
    checkout = cloud.folder / "checkout"
    shutil.copytree(LAUNCH, checkout / "launch")
    names = ("stays.py", "removed since.py")
    for name in names:
        (checkout / name).touch()
    cloud.run("tpu_create.sh")
    assert cloud.run(checkout / "launch/tpu_setup.sh").code == 0
    here = cloud.folder / "hosts/pod/0/rlaif_jax"
    assert all((here / name).exists() for name in names)
    (checkout / "removed since.py").unlink()
    assert cloud.run(checkout / "launch/tpu_setup.sh").code == 0
    assert [(here / name).exists() for name in names] == [True, False]


def test_a_second_setup_keeps_what_a_run_has_written(cloud):
    cloud.run("tpu_create.sh")
    cloud.run("tpu_setup.sh")
    seal = "rlaif_jax/runs/sft-1a2b/checkpoints/5/integrity.json"
    seals = [cloud.folder / "hosts/pod" / worker / seal for worker in "01"]
    for path in seals:
        path.parent.mkdir(parents=True)
        path.write_text("sealed")
    assert cloud.run("tpu_setup.sh").code == 0
    assert [path.read_text() for path in seals] == ["sealed", "sealed"]


def test_a_connection_that_fails_is_tried_again(cloud):
    cloud.script(ssh=[{"match": "scp|tar", "times": 2, "code": 255}])
    cloud.run("tpu_create.sh")
    assert cloud.run("tpu_setup.sh").code == 0


def test_an_unreachable_slice_is_told_from_a_failed_installation(cloud):
    cloud.script(ssh=[{"match": "scp", "times": 3, "code": 255}])
    cloud.run("tpu_create.sh")
    assert cloud.run("tpu_setup.sh").code == 255
    assert cloud.run("tpu_setup.sh", INSTALL="false").code == 70
