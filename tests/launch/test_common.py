"""What every script does first."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "common.sh"


def shell(command):
    return subprocess.run(
        ["bash", "-c", f"source '{SCRIPT}'; {command}"],
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.mark.parametrize("version", ["3 2", "4 4", "5 0"])
def test_an_old_bash_is_refused(version):
    done = shell(f"require_bash {version}")
    assert done.returncode == 2
    assert f"bash {version.replace(' ', '.')} is too old" in done.stderr


@pytest.mark.parametrize("version", ["5 1", "5 2", "6 0"])
def test_a_bash_with_what_the_scripts_need_is_accepted(version):
    assert shell(f"require_bash {version}").returncode == 0


def test_the_version_is_looked_at_whenever_it_is_sourced(tmp_path):
    script = SCRIPT.read_text().replace("${BASH_VERSINFO[0]}", "4")
    old = tmp_path / "common.sh"
    old.write_text(script)
    done = subprocess.run(["bash", old], capture_output=True, check=False)
    assert done.returncode == 2
