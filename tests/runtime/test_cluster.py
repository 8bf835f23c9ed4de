"""Tests of `rlaif_jax.runtime.cluster`: JAX's own detection, in faked environments."""

import http.server
import logging
import os
import threading

import pytest
from jax._src.clusters import cloud_tpu_cluster

from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.runtime.cluster import find_membership

AUTO = {"RLAIF_DISTRIBUTED": "auto"}
SLURM = AUTO | {
    "SLURM_JOB_ID": "4097",
    "SLURM_STEP_NODELIST": "node[003-004],other7",
    "SLURM_NTASKS": "6",
    "SLURM_PROCID": "5",
    "SLURM_LOCALID": "1",
}
GKE = AUTO | {
    "TPU_WORKER_ID": "2",
    "TPU_WORKER_HOSTNAMES": "127.0.0.1,b.svc,c.svc,d.svc",
}
SLICES = {
    "MEGASCALE_COORDINATOR_ADDRESS": "localhost:8080",
    "MEGASCALE_NUM_SLICES": "3",
    "MEGASCALE_SLICE_ID": "1",
}
EXPLICIT = {
    "RLAIF_COORDINATOR": "host:99",
    "RLAIF_NUM_PROCESSES": "4",
    "RLAIF_PROCESS_ID": "3",
}
OTHERS = (
    "RLAIF_",
    "SLURM_",
    "TPU_",
    "MEGASCALE_",
    "KUBERNETES_",
    "OMPI_",
    "JAX_COORD",
    "JAX_LOCAL",
)


@pytest.fixture
def environment(monkeypatch):
    """Sets variables, and takes away those of the machine that the tests run on."""
    for name in os.environ:
        if name.startswith(OTHERS):
            monkeypatch.delenv(name)

    def set_all(variables):
        for name, value in variables.items():
            monkeypatch.setenv(name, value)

    return set_all


@pytest.fixture
def tpu_vm(monkeypatch):
    """A TPU VM in JAX's eyes, whose metadata server answers with what is put here."""
    metadata = {"tpu-env": "ACCELERATOR_TYPE: 'v6e-16'"}
    monkeypatch.setattr(cloud_tpu_cluster, "running_in_cloud_tpu_vm", True)

    class Answer(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            found = metadata.get(self.path.rpartition("/")[2])
            self.send_response(404 if found is None else 200)
            self.end_headers()
            self.wfile.write((found or "").encode())

        def log_message(self, *_):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        monkeypatch.setenv("GCE_METADATA_IP", f"127.0.0.1:{server.server_port}")
        monkeypatch.setattr("time.sleep", lambda seconds: None)  # between two requests
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield metadata
        server.shutdown()
        thread.join()


def test_a_run_of_its_own(environment):
    environment({})
    assert find_membership(limit_s=1.0) is None


def test_explicit_variables(environment):
    environment(EXPLICIT)
    found = find_membership(limit_s=1.0)
    assert found is not None
    assert found[:3] == ("host:99", 4, 3)
    assert (found.host, found.port, found.local_device_ids) == ("host", 99, None)


def test_a_slurm_step(environment):
    environment(SLURM)
    found = find_membership(limit_s=1.0)
    assert found is not None
    # the first node, a port of the job's, and one device for each task of a node
    assert found == (f"node003:{4097 % 4096 + 61440}", 6, 5, "slurm", (1,))
    environment({"JAX_COORDINATOR_PORT": "7777"})
    assert (find_membership(limit_s=1.0) or found).coordinator == "node003:7777"


def test_a_slurm_task_of_a_node_keeps_the_devices_that_it_was_given(environment):
    environment(SLURM | {"JAX_LOCAL_DEVICE_IDS": "0,1,2,3"})
    found = find_membership(limit_s=1.0)
    assert found is not None
    assert found.local_device_ids is None  # JAX reads the variable only then
    environment({"JAX_LOCAL_DEVICE_IDS": ""})  # which is none to JAX, too
    assert (find_membership(limit_s=1.0) or found).local_device_ids == (1,)


@pytest.mark.parametrize("missing", ["SLURM_STEP_NODELIST", "SLURM_PROCID"])
def test_a_slurm_job_without_srun_is_refused(environment, missing):
    environment({name: SLURM[name] for name in SLURM if name != missing})
    with pytest.raises(UsageError, match=f"SLURM job, but {missing} is not set.*srun"):
        find_membership(limit_s=1.0)


def test_a_gke_slice_has_a_port_that_its_firewall_opens(environment, tpu_vm):
    environment(GKE)
    found = find_membership(limit_s=1.0)
    assert found == ("127.0.0.1:8476", 4, 2, "gketpu", None)
    environment({"JAX_COORDINATOR_PORT": "8471"})
    assert (find_membership(limit_s=1.0) or found).port == 8471


def test_several_gke_slices(environment, tpu_vm):
    environment(GKE | SLICES)
    found = find_membership(limit_s=1.0)
    assert found == ("localhost:8476", 12, 6, "gketpu", None)  # 2 + 1 * 4


@pytest.mark.parametrize(
    ("missing", "message"),
    [
        ("TPU_WORKER_ID", "TPU_WORKER_ID is not"),
        ("TPU_WORKER_HOSTNAMES", "the other of the two is not set"),
        ("MEGASCALE_SLICE_ID", "MEGASCALE_SLICE_ID is not set"),
    ],
)
def test_an_incomplete_gke_environment_is_refused(
    environment, tpu_vm, monkeypatch, missing, message
):
    variables = GKE | SLICES
    environment({name: variables[name] for name in variables if name != missing})
    monkeypatch.setenv("TPU_SKIP_MDS_QUERY", "1")  # no GCE
    with pytest.raises(UsageError, match=message):
        find_membership(limit_s=1.0)


def test_a_worker_that_gke_does_not_know_is_refused(environment, tpu_vm):
    environment(GKE | {"TPU_WORKER_ID": "4"})
    with pytest.raises(UsageError, match=r"process 4 is not below .* 4"):
        find_membership(limit_s=1.0)


@pytest.mark.parametrize("form", ["{}", "name:1:{}"])
def test_a_gce_slice_by_its_metadata(environment, tpu_vm, form):
    environment(AUTO)
    tpu_vm["agent-worker-number"] = "1"
    hosts = ("127.0.0.1", "10.0.0.2")
    tpu_vm["worker-network-endpoints"] = ",".join(map(form.format, hosts))
    assert find_membership(limit_s=1.0) == ("127.0.0.1:8476", 2, 1, "gcetpu", None)


def test_several_gce_slices_by_their_metadata(environment, tpu_vm):
    environment(AUTO)
    tpu_vm["agent-worker-number"] = "1"
    tpu_vm["worker-network-endpoints"] = "10.0.0.1,10.0.0.2"
    tpu_vm["tpu-env"] = "\n".join(
        f"{name}: '{value}'" for name, value in SLICES.items()
    )
    assert find_membership(limit_s=1.0) == ("localhost:8476", 6, 3, "gcetpu", None)


def test_a_metadata_server_that_does_not_answer_is_named(
    environment, tpu_vm, monkeypatch
):
    environment(AUTO | {"GCE_METADATA_IP": "127.0.0.1:1"})
    with pytest.raises(InternalError, match="metadata server does not answer"):
        find_membership(limit_s=1.0)


def test_a_name_that_nobody_knows_is_told(environment, tpu_vm, monkeypatch):
    environment(GKE | {"TPU_WORKER_HOSTNAMES": "nobody.invalid,b"})
    with pytest.raises(InternalError, match=r"nobody\.invalid"):
        find_membership(limit_s=0.0)


def test_auto_where_there_is_nothing_to_find(environment):
    environment(AUTO)
    with pytest.raises(UsageError, match="no TPU VM, no GKE pod"):
        find_membership(limit_s=1.0)


@pytest.mark.parametrize("address", ["host", "host:", ":1", "host:70000", "host:x"])
def test_an_address_without_a_port_is_refused(environment, address):
    environment(EXPLICIT | {"RLAIF_COORDINATOR": address})
    with pytest.raises(UsageError, match="is not host:port"):
        find_membership(limit_s=1.0)


def test_processes_that_do_not_join_each_other_are_warned_of(environment, caplog):
    environment({name: SLURM[name] for name in SLURM if name not in AUTO})
    with caplog.at_level(logging.WARNING, "rlaif_jax"):
        assert find_membership(limit_s=1.0) is None
    assert "one of 6 processes" in caplog.text
