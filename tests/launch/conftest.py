"""A cloud in a folder, and the launch scripts on it."""

import fcntl
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

HERE = Path(__file__).parent
ROOT = HERE.parents[1]
LAUNCH = ROOT / "launch"
# no pause takes time, and every try comes at once
QUICK = {
    "BACKOFF_S": "0",
    "HELLO_TRIES": "2",
    "LOOK_S": "0.2",
    "POLL_S": "0",
    "STOP_S": "5",
    "WATCH_S": "0.5",
}


class Cloud:
    """Fakes of `gcloud` and `kubectl` on PATH, with what they did.

    Attributes:
      folder: The fakes' state.
      out: A run folder that all workers share.
      environment: Of the scripts under test.
      secret: What no argv may hold.
    """

    secret = "sk-0123456789-never-in-an-argv"

    def __init__(self, folder: Path):
        self.folder = folder
        self.out = folder / "shared run" / "out"
        self._processes: list[subprocess.Popen] = []
        (folder / "bin").mkdir(parents=True)
        for name in ("gcloud", "kubectl"):
            self._executable(f"bin/{name}", HERE / f"fake_{name}.py")
        self._executable("job", HERE / "fake_job.py")
        (folder / "calls.jsonl").touch()
        self.script()
        self.plan()
        path = f"{folder / 'bin'}:{os.environ['PATH']}"
        self.surroundings = {"PATH": path, "FAKE": str(folder), "SECRET_PAUSE_S": "0"}
        self.surround(PLAN=str(folder / "plan.json"))
        self.environment = QUICK | {
            "PATH": path,
            "FAKE": str(folder),
            "HOME": str(folder),
            "INSTALL": f"mkdir -p venv/bin && ln -sf {folder}/job venv/bin/python",
            "PYTHON": sys.executable,
            "TPU_NAME": "pod",
            "TPU_ZONE": "us-east5-b",
            "TPU_TOPOLOGY": "v6e:2x4",
        }

    def _executable(self, name, source):
        path = self.folder / name
        bare = "" if "kubectl" in name else "-S -E"  # starts in no time
        path.write_text(f'#!/bin/sh\nexec "{sys.executable}" {bare} "{source}" "$@"\n')
        path.chmod(0o755)

    def script(self, **script):
        """Says what goes wrong, as `fake_gcloud.py` and `fake_kubectl.py` read it."""
        document = {"requests": {}, "jobsets": {}, "script": script}
        (self.folder / "state.json").write_text(json.dumps(document))

    def script_more(self, **script):
        """Adds to what goes wrong, from now on."""
        self._change(lambda document: document["script"].update(script))

    def forget(self, name):
        """Takes slices away, but leaves their connections hanging."""

        def suspend(document):
            document["requests"][name]["states"] = ["SUSPENDED"]
            document["script"]["hanging"] = True

        self._change(suspend)

    def _change(self, change):
        path = self.folder / "state.json"
        with (self.folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            document = json.loads(path.read_text())
            change(document)
            path.write_text(json.dumps(document))

    def plan(self, **attempts):
        """Says what the processes do, as `fake_job.py` reads it."""
        plan = {k.lstrip("w").replace("_", "."): v for k, v in attempts.items()}
        (self.folder / "plan.json").write_text(json.dumps(plan or {"*": [["exit 0"]]}))

    def surround(self, **variables):
        """Adds to the environment of the workers' shells."""
        self.surroundings |= variables
        path = self.folder / "surroundings.json"
        path.write_text(json.dumps(self.surroundings))

    def start(self, script, *arguments, **environment):
        """A launch script under way, its output in `.log` (stderr too)."""
        log = self.folder / f"log-{len(self._processes)}"
        with log.open("w") as file:
            process = subprocess.Popen(
                ["bash", str(LAUNCH / script), *map(str, arguments)],
                cwd=self.folder,
                env=self.environment | environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        process.log = log
        self._processes.append(process)
        return process

    def run(self, script, *arguments, **environment):
        """A launch script, ended; `.code` and `.output`."""
        return self.end(self.start(script, *arguments, **environment))

    def end(self, process):
        process.code = process.wait(timeout=240)
        process.output = process.log.read_text()
        return process

    def watch(self, **environment):
        return self.run("tpu_watch.sh", *self.training, **environment)

    @property
    def training(self):
        return ("sft", "config.yaml", "--out", self.out)

    def wait_for(self, path, process):
        deadline = time.monotonic() + 240
        while not path.exists():
            text = process.log.read_text()
            assert process.poll() is None and time.monotonic() < deadline, text
            time.sleep(0.02)

    def calls(self, *words):
        """The argvs so far that hold all the words."""
        lines = (self.folder / "calls.jsonl").read_text().splitlines()
        calls = [json.loads(line) for line in lines]
        return [call for call in calls if set(words) <= set(call)]

    def started(self, worker="0.0"):
        """What each attempt of a worker's process was started with."""
        path = self.folder / f"started-{worker}.jsonl"
        lines = path.read_text().splitlines() if path.exists() else []
        return [json.loads(line) for line in lines]

    def left(self):
        """What still exists and costs."""
        document = json.loads((self.folder / "state.json").read_text())
        return [*document["requests"], *document["jobsets"]]

    def close(self):
        """Ends every process, and looks that no argv held a secret."""
        for process in self._processes:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()
        for pid in self.folder.glob("hosts/*/*/.rlaif_runs/*/*/pid"):
            try:
                os.killpg(int(pid.read_text()), signal.SIGKILL)
            except ProcessLookupError:
                continue
        assert self.secret not in (self.folder / "calls.jsonl").read_text()


@pytest.fixture
def cloud(tmp_path):
    one = Cloud(tmp_path / "cloud")
    yield one
    one.close()
