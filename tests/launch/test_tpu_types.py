"""What is planned is what is asked for."""

import re

import pytest

# name, chips and hosts of a slice; accelerator type (GCE) and node selector (GKE):
# docs.cloud.google.com/tpu/docs/v5e, v5p, v6e, v4 and their tables of configurations
SLICES = [
    ("v5e:1x1", 1, 1, "--accelerator-type=v5litepod-1", "tpu-v5-lite-podslice"),
    ("v5e:2x2", 4, 1, "--accelerator-type=v5litepod-4", "tpu-v5-lite-podslice"),
    ("v5e:2x4", 8, 1, "--accelerator-type=v5litepod-8", "tpu-v5-lite-podslice"),
    ("v5e:4x4", 16, 4, "--accelerator-type=v5litepod-16", "tpu-v5-lite-podslice"),
    ("v5e:4x8", 32, 8, "--accelerator-type=v5litepod-32", "tpu-v5-lite-podslice"),
    ("v5e:16x16", 256, 64, "--accelerator-type=v5litepod-256", "tpu-v5-lite-podslice"),
    ("v6e:2x4", 8, 1, "--accelerator-type=v6e-8", "tpu-v6e-slice"),
    ("v6e:4x4", 16, 4, "--accelerator-type=v6e-16", "tpu-v6e-slice"),
    ("v6e:8x16", 128, 32, "--accelerator-type=v6e-128", "tpu-v6e-slice"),
    ("v5p:2x2x1", 4, 1, "--accelerator-type=v5p-8", "tpu-v5p-slice"),
    ("v5p:2x4x4", 32, 8, "--accelerator-type=v5p-64", "tpu-v5p-slice"),
    ("v5p:4x4x8", 128, 32, "--accelerator-type=v5p-256", "tpu-v5p-slice"),
    ("v4:2x2x2", 8, 2, "--type=v4 --topology=2x2x2", "tpu-v4-podslice"),
]


@pytest.mark.parametrize(("name", "chips", "hosts", "gce", "gke"), SLICES)
def test_a_slice_has_the_clouds_names(cloud, name, chips, hosts, gce, gke):
    created = cloud.run("tpu_create.sh", DRY_RUN="1", TPU_TOPOLOGY=name)
    assert f" {gce} --runtime-version=" in created.output
    cloud.environment |= {"JOB_NAME": "aif", "IMAGE": "rlaif:1"}
    manifest = cloud.run("gke_jobset.sh", "sft", TPU_TOPOLOGY=name).output
    assert f"gke-tpu-accelerator: {gke}\n" in manifest
    assert f"gke-tpu-topology: {name.split(':')[1]}\n" in manifest
    assert f"completions: {hosts}\n" in manifest
    (per_host,) = set(re.findall(r"google.com/tpu: (\d+)", manifest))
    assert hosts * int(per_host) == chips


def test_a_slice_of_eight_chips_may_be_two_machines(cloud):
    cloud.environment |= {"JOB_NAME": "aif", "IMAGE": "rlaif:1"}
    manifest = cloud.run("gke_jobset.sh", "sft", TPU_CHIPS_PER_HOST="4").output
    assert "completions: 2\n" in manifest
    assert "google.com/tpu: 4\n" in manifest


def test_ironwood_is_on_gke_only(cloud):
    cloud.environment |= {"JOB_NAME": "aif", "IMAGE": "rlaif:1"}
    there = cloud.run("gke_jobset.sh", "sft", TPU_TOPOLOGY="tpu7x:4x4x4")
    assert "gke-tpu-accelerator: tpu7x\n" in there.output
    done = cloud.run("tpu_create.sh", TPU_TOPOLOGY="tpu7x:4x4x4")
    assert done.code == 2
    assert "on GKE only" in done.output


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("v6e-16", "write a generation and its chips"),
        ("v5e:8x4", "v5e has 1x1, 2x2"),
        ("v5e:4x4x4", "v5e has 1x1, 2x2"),
        ("v5p:4x4", "v5p has 2x2x1"),
        ("v4:1x2x3", "from 2x2x1 on"),
        ("v9:4x4", "choose v4, v5e, v5p, v6e"),
    ],
)
def test_a_slice_that_is_not_there_is_named(cloud, name, said):
    done = cloud.run("tpu_create.sh", TPU_TOPOLOGY=name)
    assert done.code == 2
    assert f"TPU_TOPOLOGY={name}" in done.output
    assert said in done.output
