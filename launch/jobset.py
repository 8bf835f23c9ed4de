"""Prints a JobSet (jobset.x-k8s.io/v1alpha2) from the environment of `gke_jobset.sh`.

JobSet's fields: jobset.sigs.k8s.io/docs/reference/jobset.v1alpha2. How GKE places pods
on slices: docs.cloud.google.com/kubernetes-engine/docs/how-to/tpu-multislice. It also
sets TPU_WORKER_ID, TPU_WORKER_HOSTNAMES and, for several slices, MEGASCALE_*.
"""

import os
import re
import sys
from typing import Any

from ruamel.yaml import YAML
from ruamel.yaml.comments import CommentedSeq

CONTAINER = "rlaif"
LIBTPU_PORTS = (8471, 8431)  # between workers, and its metrics
MAX_NAME = 63  # of a pod: NAME-slice-INDEX-INDEX-abcde


def refuse(message: str) -> None:
    """Ends the program as every usage error does."""
    print(f"gke_jobset.sh: {message}", file=sys.stderr)
    sys.exit(2)


def setting(name: str, default: str = "") -> str:
    """A variable's value; empty counts as not set."""
    return os.environ.get(name) or default


def number(name: str, default: int) -> int:
    """A variable's value as a natural number."""
    text = setting(name, str(default))
    if not text.isdecimal():
        refuse(f"{name}={text} is not a number")
    return int(text)


def checked_name(slices: int, hosts: int) -> str:
    """The run's name, if every pod's name that comes of it is one."""
    name = setting("JOB_NAME")
    longest = f"{name}-slice-{slices - 1}-{hosts - 1}-abcde"
    if not re.fullmatch(r"[a-z]([a-z0-9-]*[a-z0-9])?", name) or len(longest) > MAX_NAME:
        refuse(
            f"JOB_NAME={name}: small letters, digits and hyphens, a letter first, and"
            f" at most {MAX_NAME - len(longest) + len(name)} characters"
        )
    return name


def placement() -> dict[str, Any]:
    """Which nodes the pods may run on."""
    selector = {
        "cloud.google.com/gke-tpu-accelerator": setting("SLICE_GKE_TYPE"),
        "cloud.google.com/gke-tpu-topology": setting("SLICE_SHAPE"),
    }
    how = setting("TPU_PROVISIONING", "on-demand")
    if how == "reserved":
        if not setting("RESERVATION"):
            refuse("set RESERVATION first")
        selector["cloud.google.com/reservation-name"] = setting("RESERVATION")
    elif how in ("spot", "flex-start"):
        selector[f"cloud.google.com/gke-{how}"] = "true"
    elif how != "on-demand":
        refuse(f"TPU_PROVISIONING={how} is not on-demand, spot, flex-start or reserved")
    tolerations = [{"key": "google.com/tpu", "operator": "Exists"}]
    if how == "spot":
        tolerations.append({"key": "cloud.google.com/gke-spot", "operator": "Exists"})
    return {"nodeSelector": selector, "tolerations": tolerations}


def environment() -> list[dict[str, Any]]:
    """Variables of the container; secrets by reference only."""
    entries: list[dict[str, Any]] = [
        {"name": "RLAIF_DISTRIBUTED", "value": "auto"},
        {"name": "JAX_COORDINATOR_PORT", "value": setting("JAX_COORDINATOR_PORT")},
    ]
    for name in setting("FORWARD").split():
        entries.append({"name": name, "value": literal(os.environ[name])})
    for entry in setting("SECRETS").split():
        match = re.fullmatch(r"([A-Za-z_]\w*)=([a-z0-9.-]+):([\w.-]+)", entry)
        if not match:
            refuse("SECRETS has an entry that is not VARIABLE=SECRET:KEY")
            continue
        reference = {"secretKeyRef": {"name": match[2], "key": match[3]}}
        entries.append({"name": match[1], "valueFrom": reference})
    return entries


def literal(text: str) -> str:
    """Text that Kubernetes leaves as it is: it replaces $(NAME), and $$ by $."""
    return text.replace("$", "$$")


def storage() -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """The pod's volumes and the container's mounts."""
    text = setting("VOLUME")
    if not text:
        return [], []
    kind, *parts = text.split(":")
    if kind == "pvc" and len(parts) == 2:
        source = {"persistentVolumeClaim": {"claimName": parts[0]}}
    elif kind == "nfs" and len(parts) == 3:
        source = {"nfs": {"server": parts[0], "path": parts[1]}}
    else:
        refuse(f"VOLUME={text}: write pvc:CLAIM:FOLDER or nfs:SERVER:PATH:FOLDER")
        return [], []
    return (
        [{"name": "shared", **source}],
        [{"name": "shared", "mountPath": parts[-1]}],
    )


def pod(arguments: list[str]) -> dict[str, Any]:
    """A host of a slice."""
    volumes, mounts = storage()
    ports = (*LIBTPU_PORTS, number("JAX_COORDINATOR_PORT", 0))
    chips = {"google.com/tpu": int(setting("SLICE_CHIPS_PER_HOST"))}
    container = {
        "name": CONTAINER,
        "image": setting("IMAGE"),
        "command": ["rlaif-jax", *map(literal, arguments)],
        "env": environment(),
        "ports": [{"containerPort": port} for port in ports],
        "resources": {"requests": chips, "limits": dict(chips)},
    }
    spec = {
        "restartPolicy": "Never",  # podFailurePolicy needs it
        "terminationGracePeriodSeconds": number("STOP_S", 120),
        **placement(),
        "containers": [container | ({"volumeMounts": mounts} if mounts else {})],
    }
    if volumes:
        spec["volumes"] = volumes
    if setting("SERVICE_ACCOUNT"):
        spec["serviceAccountName"] = setting("SERVICE_ACCOUNT")
    return spec


def metadata(slices: int, hosts: int) -> dict[str, Any]:
    """Name, namespace and queue; a slice has its node pool for itself."""
    entries: dict[str, Any] = {"name": checked_name(slices, hosts)}
    if setting("NAMESPACE"):
        entries["namespace"] = setting("NAMESPACE")
    if setting("QUEUE"):
        entries["labels"] = {"kueue.x-k8s.io/queue-name": setting("QUEUE")}
    if hosts > 1:
        key = "alpha.jobset.sigs.k8s.io/exclusive-topology"
        entries["annotations"] = {key: "cloud.google.com/gke-nodepool"}
    return entries


def jobset(arguments: list[str]) -> dict[str, Any]:
    """The whole manifest: one Job a slice, one pod a host."""
    slices, hosts = number("TPU_SLICES", 1), number("SLICE_HOSTS", 1)
    if slices < 1:
        refuse(f"TPU_SLICES={slices} is not a number of slices")
    if slices > 1 and hosts == 1:
        refuse(
            "GKE joins slices of several machines only: choose a larger TPU_TOPOLOGY"
        )
    restarted = CommentedSeq(map(int, setting("RESTART_CODES").split()))
    restarted.fa.set_flow_style()  # on one line
    exit_codes = {
        "containerName": CONTAINER,
        "operator": "NotIn",  # 0 is never meant
        "values": restarted,
    }
    job = {
        "parallelism": hosts,
        "completions": hosts,
        "completionMode": "Indexed",
        "backoffLimit": 0,  # one lost pod ends the Job, and so restarts all
        "podFailurePolicy": {
            "rules": [{"action": "FailJob", "onExitCodes": exit_codes}]
        },
        "template": {"spec": pod(arguments)},
    }
    final = {
        "name": "final",
        "action": "FailJobSet",
        "onJobFailureReasons": ["PodFailurePolicy"],
    }
    spec = {
        "ttlSecondsAfterFinished": number("TTL_S", 86400),
        "failurePolicy": {
            "maxRestarts": number("MAX_RESTARTS", 20),
            "restartStrategy": "BlockingRecreate",  # old pods hold the TPU
            "rules": [final],
        },
        "replicatedJobs": [
            {"name": "slice", "replicas": slices, "template": {"spec": job}}
        ],
    }
    return {
        "apiVersion": "jobset.x-k8s.io/v1alpha2",
        "kind": "JobSet",
        "metadata": metadata(slices, hosts),
        "spec": spec,
    }


if __name__ == "__main__":
    yaml = YAML()
    yaml.default_flow_style = False
    yaml.width = 4096  # no argument is folded
    yaml.dump(jobset(sys.argv[1:]), sys.stdout)
