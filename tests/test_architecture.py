"""Keeps the sub-packages in layers: imports only ever point down."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "rlaif_jax"
TESTS = Path(__file__).parent

# What each sub-package may import from its siblings. Root modules (config, records,
# files, log, typing, ...) are open to all.
ALLOWED: dict[str, set[str]] = {
    "data": set(),
    "labeling": set(),
    "lab": set(),
    "losses": set(),
    "models": set(),
    "optim": set(),
    "runtime": set(),
    "sharding": set(),
    "sampling": {"models", "sharding"},
    "checkpoint": {"models", "sharding"},
    "evaluation": {"labeling"},
    "training": {
        "checkpoint",
        "data",
        "losses",
        "models",
        "optim",
        "runtime",
        "sharding",
    },
    "inspection": {
        "checkpoint",
        "data",
        "losses",
        "models",
        "sharding",
        "training",
    },
    "planning": {
        "data",
        "models",
        "optim",
        "runtime",
        "sampling",
        "sharding",
        "training",
    },
    "study": {"evaluation"},
}
ALLOWED["commands"] = set(ALLOWED)
MODULES = sorted(PACKAGE.glob("*/**/*.py"))
NO_JAX = ["data", "labeling", "lab", "study/config", "study/graph"]
ROOT_MODULES = sorted(PACKAGE.glob("[a-z]*.py"))


def imported_names(path: Path) -> set[str]:
    """Absolute dotted names that a file imports, wherever in the file."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in {path}"
            names |= {f"{node.module}.{alias.name}" for alias in node.names}
    return names


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_imports_point_down(path):
    owner = path.relative_to(PACKAGE).parts[0]
    own = {name for name in imported_names(path) if name.startswith("rlaif_jax.")}
    siblings = {name.split(".")[1] for name in own} & ALLOWED.keys() - {owner}
    assert siblings <= ALLOWED[owner]


@pytest.mark.parametrize("path", ROOT_MODULES, ids=lambda p: p.name)
def test_root_modules_import_no_sub_package_at_the_top(path):
    tree = ast.parse(path.read_text())
    modules = {n.module for n in tree.body if isinstance(n, ast.ImportFrom)}
    found = {m.split(".")[1] for m in modules if m and m.startswith("rlaif_jax.")}
    assert not found & ALLOWED.keys()


@pytest.mark.parametrize("name", NO_JAX)
def test_host_side_packages_do_not_load_jax(name):
    path = PACKAGE / name
    files = sorted(path.glob("*.py")) if path.is_dir() else [path.with_suffix(".py")]
    dotted = [
        ".".join(file.relative_to(PACKAGE.parent).with_suffix("").parts)
        for file in files
        if not file.stem.startswith("_")
    ]
    imports = "; ".join(f"import {module}" for module in dotted)
    code = f"{imports}; import sys; sys.exit('jax' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=PACKAGE.parent)


def test_help_does_not_load_jax():
    code = (
        "import sys; from rlaif_jax.cli import run; run(['sft', '--help']); "
        "sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


@pytest.mark.parametrize(
    "path",
    [p for p in MODULES if p.stem != "__init__" and p.parts[-2] != "commands"],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_every_module_has_a_test_file_of_its_name(path):
    mirror = TESTS / path.relative_to(PACKAGE).parent / f"test_{path.name}"
    assert mirror.is_file()


def test_nothing_unpickles_or_trusts_remote_code():
    for path in [*MODULES, *ROOT_MODULES]:
        names = imported_names(path)
        assert not {n for n in names if n.split(".")[0] in {"pickle", "dill"}}, path
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.keyword) and node.arg == "trust_remote_code":
                assert ast.unparse(node.value) == "False", path
