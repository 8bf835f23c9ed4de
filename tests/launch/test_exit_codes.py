"""Which exit codes explain others, and which are worth another start."""

import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "launch" / "exit_codes.sh"


def shell(command):
    done = subprocess.run(
        ["bash", "-c", f"source '{SCRIPT}'; {command}"],
        capture_output=True,
        text=True,
        check=False,
    )
    return done.returncode, done.stdout.strip()


@pytest.mark.parametrize(
    ("codes", "telling"),
    [
        ("0 0", "0"),
        ("0 255", "255"),  # one connection was lost
        ("75 255 75", "75"),  # all have saved, as far as is known
        ("134 75", "134"),
        ("134 70 134", "70"),  # the watchdog; its peers missed it
        ("70 137", "137"),  # killed: out of memory
        ("137 1 134", "1"),  # an error of the program
        ("1 65 70", "65"),
        ("134 134 78", "78"),
        ("2 2", "2"),
    ],
)
def test_the_telling_code_is_chosen(codes, telling):
    assert shell(f"verdict {codes}") == (0, telling)


@pytest.mark.parametrize("code", [70, 75, 134, 137, 139, 143, 255])
def test_these_may_do_better(code):
    assert shell(f"may_restart {code}")[0] == 0


@pytest.mark.parametrize("code", [1, 2, 65, 66, 78, 126, 127])
def test_these_fail_the_same_way_again(code):
    assert shell(f"may_restart {code}")[0] == 1
