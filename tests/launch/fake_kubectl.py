"""A `kubectl` that keeps JobSets in a folder and follows their failure policies.

FAKE is its folder (see `fake_gcloud.py`). The script's `pods` say how those of each
attempt end: a list of exit codes, "preempted" for a pod that its node took along, or
"running". What follows from that, the manifest's own failure policies say. Its `look`
says what happens to the next questions for a JobSet's state: "silent", or "gone" for a
JobSet that somebody has deleted.
"""

import json
import sys
import time

from fake_state import FAKE, state
from ruamel.yaml import YAML


def create(document, path):
    with open(path) as file:
        manifest = YAML(typ="safe").load(file)
    name = manifest["metadata"]["name"]
    if name in document["jobsets"]:
        sys.exit(f'Error from server (AlreadyExists): jobsets "{name}" already exists')
    document["jobsets"][name] = {"manifest": manifest, "restarts": 0, "state": ""}


def advance(script, jobset):
    """What JobSet's controller does about how the pods have ended."""
    if jobset["state"]:
        return
    attempts = script.get("pods", [[0, 0]])
    jobset["pods"] = attempts[min(jobset["restarts"], len(attempts) - 1)]
    spec = jobset["manifest"]["spec"]
    policy = spec["failurePolicy"]
    job = spec["replicatedJobs"][0]["template"]["spec"]
    assert job["backoffLimit"] == 0
    (rule,) = job["podFailurePolicy"]["rules"]
    assert rule["onExitCodes"]["operator"] == "NotIn"
    spared = (0, "running", "preempted", *rule["onExitCodes"]["values"])
    final = [code for code in jobset["pods"] if code not in spared]
    if final and policy["rules"][0]["onJobFailureReasons"] == ["PodFailurePolicy"]:
        assert policy["rules"][0]["action"] == "FailJobSet"
        jobset["state"] = "Failed"
    elif any(code not in (0, "running") for code in jobset["pods"]):
        if jobset["restarts"] == policy["maxRestarts"]:
            jobset["state"] = "Failed"
        else:
            jobset["restarts"] += 1
    elif all(code == 0 for code in jobset["pods"]):
        jobset["state"] = "Completed"


def missing(name, may_be_missing):
    if not may_be_missing:
        sys.exit(f'Error from server (NotFound): jobsets "{name}" not found')


def look(document, name):
    """What the script has for a question for a JobSet's state."""
    waiting = document["script"].get("look", [])
    happens = waiting.pop(0) if waiting else None
    if happens == "silent":
        sys.exit("Unable to connect to the server: dial tcp: i/o timeout")
    if happens == "gone":
        del document["jobsets"][name]


def get(document, kind, name, template, *, may_be_missing):
    if "terminalState" in template[-1]:
        look(document, name)
    jobset = document["jobsets"].get(name)
    if jobset is None and kind == "jobset":
        missing(name, may_be_missing)
    elif kind == "pods":
        pods = next(iter(document["jobsets"].values()))["pods"]
        print("\n".join(str(code) if code != "preempted" else "" for code in pods))
    elif "-o" in template and template[-1] == "name":
        print(f"jobset/{name}", end="")
    elif "terminalState" in template[-1]:
        advance(document["script"], jobset)
        print(jobset["state"], jobset["restarts"])
    else:
        print("jobset failed due to one or more job failures", end="")


def delete(document, name):
    waiting = document["script"].get("delete", [])
    if document["script"].get("undeletable") or (waiting and waiting.pop(0)):
        sys.exit("Error from server (InternalError): not now")
    document["jobsets"].pop(name, None)


def main(argv):
    with open(f"{FAKE}/calls.jsonl", "a") as file:
        file.write(json.dumps(argv) + "\n")
    verb, *rest = [word for word in argv if not word.startswith("--")]
    if verb == "logs":
        print("first pod's line", flush=True)
        time.sleep(0.2)
        return
    with state() as document:
        if verb == "create":
            create(document, rest[1])
        elif verb == "get":
            name = rest[1] if rest[1] != "-l" else ""
            allowed = "--ignore-not-found" in argv
            get(document, rest[0], name, rest, may_be_missing=allowed)
        elif verb == "delete":
            delete(document, rest[1])


main(sys.argv[1:])
