"""A `gcloud` that keeps TPU slices in a folder and runs what is sent to their workers.

FAKE is its folder: `state.json` has what exists and the script of what goes wrong,
`calls.jsonl` what was asked, an argv a line, `hosts/` the workers' homes. Flags that
the real `gcloud` does not have are refused as it refuses them. Of the script,

create, describe, delete: what happens to the next calls; null for nothing unusual
states: of each request that is made, the states that it goes through
undeletable: no deletion succeeds
hanging: connections survive the slice they lead to
workers: of a slice (2)
ssh: rules {match, times} for commands, with one of {code} nothing runs, {silent}
  these workers do not answer, {cut} the connection breaks once there is such a file
secrets: of Secret Manager
"""

import contextlib
import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time

from fake_state import FAKE, state

WHERE = {"--zone", "--project"}
FLAGS = {
    ("queued-resources", "create"): WHERE
    | {"--node-id", "--node-prefix", "--node-count", "--accelerator-type", "--type"}
    | {"--topology", "--runtime-version", "--spot", "--reserved", "--network"}
    | {"--service-account"},
    ("alpha", "queued-resources", "create"): WHERE
    | {"--node-id", "--node-prefix", "--node-count", "--accelerator-type"}
    | {"--runtime-version", "--provisioning-model", "--max-run-duration"},
    ("queued-resources", "describe"): WHERE | {"--format"},
    ("queued-resources", "delete"): WHERE | {"--force", "--quiet"},
    ("tpu-vm", "describe"): WHERE | {"--format"},
    ("tpu-vm", "ssh"): WHERE | {"--worker", "--quiet", "--ssh-flag", "--command"},
    ("tpu-vm", "scp"): WHERE | {"--worker", "--quiet"},
    ("secrets", "access"): {"--secret"},
}


class Failure(Exception):
    """Ends the program as `gcloud` would: a message, an exit code."""

    def __init__(self, message, code=1):
        super().__init__(message)
        self.code = code


def due(document, kind):
    """What the script has for the next call of this kind; None if nothing."""
    waiting = document["script"].get(kind, [])
    return waiting.pop(0) if waiting else None


def create(name, flags):
    with state() as document:
        wrong = due(document, "create")
        if name in document["requests"]:
            raise Failure(f"ALREADY_EXISTS: {name}")
        if isinstance(wrong, str):
            raise Failure(wrong)
        several = "--node-count" in flags
        count = int(flags["--node-count"]) if several else 1
        prefix = flags["--node-prefix"] if several else flags["--node-id"]
        nodes = [f"{prefix}-{i}" for i in range(count)] if several else [prefix]
        states = due(document, "states") or ["ACTIVE"]
        document["requests"][name] = {"states": states, "nodes": nodes}


def describe(name, flags):
    with state() as document:
        if due(document, "describe") == "silent":
            raise Failure("UNAVAILABLE: try again")
        states = found(document, name)["states"]
        print(states.pop(0) if len(states) > 1 else states[0])


def found(document, name):
    if name not in document["requests"]:
        raise Failure(f"NOT_FOUND: Resource '{name}' was not found")
    return document["requests"][name]


def delete(name, flags):
    with state() as document:
        request = found(document, name)
        if document["script"].get("undeletable") or due(document, "delete") == "fails":
            raise Failure("INTERNAL: the deletion failed")
        if "--force" not in flags:
            raise Failure("FAILED_PRECONDITION: nodes are there")
        del document["requests"][name]
    for node in request["nodes"]:
        switch_off(node)


def switch_off(node):
    """Ends whatever runs on a slice's machines, and empties their disks."""
    folder = f"{FAKE}/hosts/{node}"
    for root, _, files in os.walk(folder):
        if "pid" in files:
            with open(f"{root}/pid") as file, contextlib.suppress(OSError):
                os.killpg(int(file.read()), signal.SIGKILL)
    shutil.rmtree(folder, ignore_errors=True)


def preempt(name, flags):
    """Not gcloud's: the provider takes the slices back."""
    with state() as document:
        request = document["requests"][name]
        request["states"] = ["SUSPENDED"]
    for node in request["nodes"]:
        switch_off(node)


def is_up(node, *, hanging=False):
    with state() as document:
        requests = document["requests"].values()
        there = any(node in r["nodes"] and r["states"][0] == "ACTIVE" for r in requests)
        return there or (hanging and document["script"].get("hanging", False))


def workers(node, flags):
    """The homes of the workers that a command is for."""
    if not is_up(node):
        raise Failure(f"NOT_FOUND: node {node}")
    with state() as document:
        count = document["script"].get("workers", 2)
    asked = flags.get("--worker", "0")
    numbers = range(count) if asked == "all" else [int(asked)]
    homes = {number: f"{FAKE}/hosts/{node}/{number}" for number in numbers}
    for home in homes.values():
        os.makedirs(home, exist_ok=True)
    return homes


def endpoints(node, flags):
    homes = workers(node, {"--worker": "all"})
    slice_number = int(re.search(r"(\d*)$", node)[1] or 0)
    print(";".join(f"10.{slice_number}.0.{number}" for number in homes))


def scp(source, target, flags):
    node, path = target.split(":")
    homes = workers(node, flags)
    trouble(node, "scp")
    for home in homes.values():
        shutil.copy(source, f"{home}/{path}")


def trouble(node, command):
    """The script's rule for this command, taken away; a total failure is raised."""
    with state() as document:
        for rule in document["script"].get("ssh", []):
            if rule["times"] > 0 and re.search(rule["match"], command):
                rule["times"] -= 1
                if rule.get("code"):
                    raise Failure("[/usr/bin/ssh] exited", rule["code"])
                return rule
    return {}


def ssh(node, flags):
    homes = workers(node, flags)
    command = flags["--command"]
    rule = trouble(node, command)
    silent = set(rule.get("silent", []))
    sessions = {n: session(n, homes[n], command) for n in homes if n not in silent}
    codes = dict.fromkeys(silent, 255)
    while any(one.poll() is None for one in sessions.values()):
        time.sleep(0.02)
        cut = "cut" in rule and os.path.exists(rule["cut"])
        if cut or not is_up(node, hanging=True):
            for number, one in sessions.items():
                if one.poll() is None:
                    one.terminate()
                    one.wait()
                    codes[number] = 255
    for number, one in sessions.items():
        codes.setdefault(number, one.returncode)
    # as gcloud does: of all workers, the first that failed
    raise SystemExit(next((codes[n] for n in sorted(codes) if codes[n]), 0))


def session(number, home, command):
    """What sshd starts: the user's shell, with a worker's own surroundings."""
    with open(f"{FAKE}/surroundings.json") as file:
        variables = json.load(file)
    own = {"HOME": home, "TPU_WORKER_ID": str(number)}
    own["LIBTPU_LOCKFILE"] = f"{home}/libtpu_lockfile"
    filled = {k: v.replace("{worker}", str(number)) for k, v in variables.items()}
    return subprocess.Popen(
        ["bash", "-c", command], cwd=home, env=filled | own, stdin=subprocess.DEVNULL
    )


def secret(*rest):
    *names, flags = rest
    with state() as document:
        value = document["script"].get("secrets", {}).get(flags.get("--secret"))
    if names != ["latest"] or value is None:
        raise Failure("PERMISSION_DENIED: no such secret")
    print(value)


VERBS = {
    ("queued-resources", "create"): create,
    ("alpha", "queued-resources", "create"): create,
    ("queued-resources", "describe"): describe,
    ("queued-resources", "delete"): delete,
    ("tpu-vm", "describe"): endpoints,
    ("tpu-vm", "ssh"): ssh,
    ("tpu-vm", "scp"): scp,
    ("secrets", "access"): secret,
    ("fake", "preempt"): preempt,
}


def main(argv):
    if argv[0] != "fake":
        line = json.dumps(argv) + "\n"
        with open(f"{FAKE}/calls.jsonl", "a") as file:
            file.write(line)
    words = [word for word in argv if not word.startswith("--")]
    words = [word for word in words if word not in ("compute", "tpus", "versions")]
    length = 3 if words[0] == "alpha" else 2
    verb, names = tuple(words[:length]), words[length:]
    pairs = [word.partition("=") for word in argv if word.startswith("--")]
    flags = {flag: value for flag, _, value in pairs}
    unknown = flags.keys() - FLAGS.get(verb, set())
    if unknown:
        raise Failure(f"unrecognized arguments: {sorted(unknown)}", 2)
    VERBS[verb](*names, flags)


if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Failure as failure:
        print(f"ERROR: (gcloud) {failure}", file=sys.stderr)
        sys.exit(failure.code)
