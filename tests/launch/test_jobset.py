"""The JobSet is one that the cluster accepts, and what the user wrote."""

import json
import re
import subprocess
from pathlib import Path

import jsonschema
import pytest
from ruamel.yaml import YAML

SCHEMA = json.loads((Path(__file__).parent / "jobset_schema.json").read_text())
LAUNCH = Path(__file__).parents[2] / "launch"
LABEL = re.compile(r"[a-z]([-a-z0-9]{0,61}[a-z0-9])?")  # of RFC 1035


@pytest.fixture
def manifest(cloud):
    """The manifest, checked as the cluster would check it."""

    def make(*arguments, **environment):
        variables = {"JOB_NAME": "aif", "IMAGE": "rlaif:1", "TPU_TOPOLOGY": "v6e:4x4"}
        done = cloud.run("gke_jobset.sh", *arguments, **variables | environment)
        assert done.code == 0, done.output
        document = YAML(typ="safe").load(done.output)
        jsonschema.validate(document, SCHEMA)
        (group,) = document["spec"]["replicatedJobs"]
        job = group["template"]["spec"]
        assert job["parallelism"] == job["completions"]
        name = document["metadata"]["name"]
        last = f"{group['replicas'] - 1}-{job['completions'] - 1}"
        assert LABEL.fullmatch(f"{name}-{group['name']}-{last}-abcde")
        return document

    return make


def container(document):
    return pod(document)["containers"][0]


def pod(document):
    return document["spec"]["replicatedJobs"][0]["template"]["spec"]["template"]["spec"]


def expanded(text):
    """What Kubernetes makes of an argument (expansion.go): $$ is $, $(NAME) a value."""
    return re.sub(r"\$(\$|\([^)]*\))", lambda m: m[1] if m[1] == "$" else "?", text)


@pytest.mark.parametrize("topology", ["v5e:2x4", "v5e:4x8", "v6e:4x4", "v5p:4x4x4"])
def test_every_topology_gives_a_valid_jobset(manifest, topology):
    document = manifest("sft", TPU_TOPOLOGY=topology)
    job = document["spec"]["replicatedJobs"][0]["template"]["spec"]
    sides = [int(side) for side in topology.split(":")[1].split("x")]
    chips = container(document)["resources"]["limits"]["google.com/tpu"]
    product = 1
    for side in sides:
        product *= side
    assert job["completions"] * chips == product


def test_arguments_arrive_as_they_were_written(manifest):
    written = ["sft", "", "a b", "$(id)", "$$", "$", "it's", '"', "x\ny", "yes", "1e3"]
    written += ["{a: 1}", "日本語", "# no comment", "- item", "a: b", "x" * 300 + " y"]
    command = container(manifest(*written))["command"]
    assert [expanded(word) for word in command] == ["rlaif-jax", *written]


def test_a_pod_ends_the_jobset_with_the_codes_that_other_launchers_give_up_on(manifest):
    job = manifest("sft")["spec"]["replicatedJobs"][0]["template"]["spec"]
    (rule,) = job["podFailurePolicy"]["rules"]
    assert (rule["action"], rule["onExitCodes"]["operator"]) == ("FailJob", "NotIn")
    script = LAUNCH / "exit_codes.sh"
    asked = (
        f"source '{script}'; for c in {{1..255}}; do may_restart $c && echo $c; done"
    )
    said = subprocess.run(["bash", "-c", asked], capture_output=True, check=False)
    codes = [int(code) for code in said.stdout.split()]
    assert {70, 75, 137} < set(codes) and not {1, 2, 65, 78} & set(codes)
    assert rule["onExitCodes"]["values"] == codes


def test_slices_are_jobs_that_restart_together(manifest):
    document = manifest("sft", TPU_SLICES="2", MAX_RESTARTS="7")
    (group,) = document["spec"]["replicatedJobs"]
    assert group["replicas"] == 2
    assert group["template"]["spec"]["backoffLimit"] == 0
    assert document["spec"]["failurePolicy"]["maxRestarts"] == 7
    assert pod(document)["restartPolicy"] == "Never"


def test_secrets_are_references(manifest):
    document = manifest("label", SECRETS="OPENAI_API_KEY=judge:api-key A=b:c")
    entries = {entry["name"]: entry for entry in container(document)["env"]}
    reference = {"secretKeyRef": {"name": "judge", "key": "api-key"}}
    assert entries["OPENAI_API_KEY"]["valueFrom"] == reference
    assert entries["JAX_COORDINATOR_PORT"]["value"] == "8476"


def test_a_shared_volume_is_mounted(manifest):
    document = manifest("sft", VOLUME="nfs:10.0.0.9:/export:/mnt/shared")
    (volume,) = pod(document)["volumes"]
    assert volume["nfs"] == {"server": "10.0.0.9", "path": "/export"}
    (mount,) = container(document)["volumeMounts"]
    assert mount == {"name": volume["name"], "mountPath": "/mnt/shared"}


@pytest.mark.parametrize(
    ("variables", "selected"),
    [
        ({"TPU_PROVISIONING": "spot"}, ("gke-spot", "true")),
        ({"TPU_PROVISIONING": "flex-start"}, ("gke-flex-start", "true")),
        (
            {"TPU_PROVISIONING": "reserved", "RESERVATION": "ours"},
            ("reservation-name", "ours"),
        ),
    ],
)
def test_the_way_of_provisioning_selects_nodes(manifest, variables, selected):
    label, value = selected
    selector = pod(manifest("sft", **variables))["nodeSelector"]
    assert selector[f"cloud.google.com/{label}"] == value


def test_a_queue_and_a_service_account_are_named(manifest):
    document = manifest("sft", QUEUE="tpus", SERVICE_ACCOUNT="trainer", NAMESPACE="a")
    assert document["metadata"]["labels"] == {"kueue.x-k8s.io/queue-name": "tpus"}
    assert document["metadata"]["namespace"] == "a"
    assert pod(document)["serviceAccountName"] == "trainer"


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"JOB_NAME": "Aif"}, "JOB_NAME=Aif"),
        ({"JOB_NAME": "a" * 60}, "at most"),
        ({"JOB_NAME": ""}, "set JOB_NAME first"),
        ({"IMAGE": ""}, "set IMAGE first"),
        ({"VOLUME": "runs"}, "VOLUME=runs"),
        ({"SECRETS": "KEY=plain"}, "VARIABLE=SECRET:KEY"),
        ({"FORWARD": "HF_TOKEN"}, "name it in SECRETS"),
        ({"FORWARD": "NOT_THERE"}, "set NOT_THERE first"),
        ({"TPU_PROVISIONING": "cheap"}, "TPU_PROVISIONING=cheap"),
        ({"TPU_PROVISIONING": "reserved"}, "set RESERVATION first"),
        ({"MAX_RESTARTS": "many"}, "MAX_RESTARTS=many"),
        ({"TPU_SLICES": "2", "TPU_TOPOLOGY": "v6e:2x2"}, "several machines only"),
        ({"TPU_CHIPS_PER_HOST": "3"}, "TPU_CHIPS_PER_HOST=3"),
    ],
)
def test_a_wrong_setting_is_named(cloud, variables, said):
    known = {"JOB_NAME": "aif", "IMAGE": "rlaif:1", "TPU_TOPOLOGY": "v6e:4x4"}
    done = cloud.run("gke_jobset.sh", "sft", **known | variables)
    assert done.code == 2
    assert said in done.output
