"""`integrity.json`: the size and SHA-256 of every file of a finished checkpoint.

Orbax loads array data with flipped bits without complaint, and leaves some of its
metadata unsynced; a folder that was sealed here is on disk, and verifiably unchanged.
"""

import os
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.files import file_sha256, read_json, sync_folder, write_json
from rlaif_jax.typing import Json

NAME = "integrity.json"
_MAX_THREADS = 8  # hashing releases the interpreter's lock


def seal(folder: Path) -> None:
    """Syncs every file of a folder and lists them in its `integrity.json`."""
    paths = list(_files(folder))
    for path in paths:
        with path.open("rb") as file:
            os.fsync(file.fileno())
    for parent in {path.parent for path in paths} | {folder}:
        sync_folder(parent)
    write_json(folder / NAME, {"files": _listing(folder, paths)})
    sync_folder(folder.parent)


def is_sealed(folder: Path) -> bool:
    """Whether the folder was finished; says nothing about its content."""
    return (folder / NAME).is_file()


def verify(folder: Path) -> None:
    """Compares a folder with its `integrity.json`.

    Raises:
      CorruptDataError: If a file changed, is missing or was added; the message names
        it.
    """
    document = read_json(folder / NAME, "checkpoint seal")
    expected = document.get("files")
    if not isinstance(expected, dict):
        raise CorruptDataError(f"{folder / NAME} lists no files")
    found = {_name(folder, path): path for path in _files(folder)}
    for name in sorted(expected.keys() ^ found.keys()):
        fault = "is missing" if name in expected else "does not belong there"
        raise CorruptDataError(f"{folder / name} {fault}")
    # sizes first: they tell a truncated file without reading the others
    for name, path in found.items():
        num_bytes, wanted = path.stat().st_size, expected[name].get("bytes")
        if num_bytes != wanted:
            raise CorruptDataError(f"{path} has {num_bytes} bytes, not {wanted}")
    for name, entry in _listing(folder, found.values()).items():
        if entry != expected[name]:
            raise CorruptDataError(f"{folder / name} does not have its SHA-256")


def _listing(folder: Path, paths: Iterable[Path]) -> Json:
    """Size and hash of each file, by its path inside the folder."""
    paths = list(paths)
    with ThreadPoolExecutor(min(_MAX_THREADS, os.cpu_count() or 1)) as pool:
        hashes = pool.map(file_sha256, paths)
        return {
            _name(folder, path): {"bytes": path.stat().st_size, "sha256": digest}
            for path, digest in zip(paths, hashes, strict=True)
        }


def _files(folder: Path) -> Iterator[Path]:
    """Every file of a folder that a seal covers, in a fixed order."""
    for path in sorted(folder.rglob("*")):
        # file systems put their own dot files anywhere
        if path.is_file() and not path.name.startswith(".") and path != folder / NAME:
            yield path


def _name(folder: Path, path: Path) -> str:
    return path.relative_to(folder).as_posix()
