"""Files that are either whole or absent, and the records inside them."""

import fcntl
import gzip
import hashlib
import json
import os
import zlib
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TypeVar

import pydantic

from rlaif_jax.errors import CorruptDataError, UsageError
from rlaif_jax.typing import Json

RecordT = TypeVar("RecordT", bound=pydantic.BaseModel)


def require_file(path: Path, what: str) -> Path:
    """The path, if a file is there.

    Raises:
      UsageError: If there is none; `what` says what was looked for.
    """
    if path.is_dir():
        raise UsageError(f"{path} is a folder, and a {what} is a file: name the file")
    if not path.is_file():
        raise UsageError(f"no {what} at {path}: check the path")
    return path


def require_writable(folder: Path) -> None:
    """Makes sure that a folder is there, or can be made, and takes files.

    Raises:
      UsageError: If it is a file or may not be written.
    """
    place = folder
    while not place.exists() and place != place.parent:
        place = place.parent
    if not place.is_dir():
        raise UsageError(f"--out {folder}: {place} is a file: choose a folder")
    if not os.access(place, os.W_OK | os.X_OK):
        raise UsageError(f"--out {folder}: may not write in {place}: choose another")


def sync_folder(folder: Path) -> None:
    """Makes the names in a folder survive a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def lock_file(path: Path) -> Iterator[None]:
    """Holds a lock that the system frees when its process dies."""
    with path.open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write_atomic(path: Path, content: bytes | str) -> None:
    """Writes a file that readers see whole or not at all, and that stays."""
    path.parent.mkdir(parents=True, exist_ok=True)
    encoded = content.encode() if isinstance(content, str) else content
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    with temporary.open("wb") as file:
        file.write(encoded)
        file.flush()
        os.fsync(file.fileno())
    temporary.replace(path)
    sync_folder(path.parent)


def write_json(path: Path, document: Json) -> None:
    """Writes one JSON document, atomically and with sorted keys."""
    write_atomic(path, json.dumps(document, indent=1, sort_keys=True) + "\n")


def write_json_list(path: Path, items: Sequence[Json]) -> None:
    """Writes a JSON list of objects, indented, atomically."""
    write_atomic(path, json.dumps(list(items), indent=1) + "\n")


def read_json(path: Path, what: str) -> Json:
    """Reads one JSON object.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it is not a JSON object.
    """
    require_file(path, what)
    try:
        document = json.loads(path.read_text("utf-8"))
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise CorruptDataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise CorruptDataError(f"{path} holds {type(document).__name__}, not an object")
    return document


def read_json_list(path: Path, what: str) -> list[Json]:
    """Reads a JSON list of objects, unpacked if the name ends in `.gz`.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it is not JSON, not a list, or an item is not an object.
    """
    try:
        document = json.loads(read_text(require_file(path, what)))
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorruptDataError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(document, list):
        raise CorruptDataError(
            f"{path} holds {type(document).__name__}, not a list: is it the {what}?"
        )
    for number, item in enumerate(document):
        if not isinstance(item, dict):
            raise CorruptDataError(
                f"{path} row {number} is {type(item).__name__}, not an object"
            )
    return document


def read_json_lines(path: Path, what: str) -> Iterator[tuple[str, Json]]:
    """Reads JSON objects, one a line, unpacked if the name ends in `.gz`.

    One line is in memory at a time; blank lines are passed over.

    Yields:
      Where the line stands, for messages, and its object.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If it cannot be read, or a line is not an object; names it.
    """
    opened = gzip.open if require_file(path, what).suffix == ".gz" else open
    try:
        with opened(path, "rt", encoding="utf-8", newline="\n") as lines:
            for number, line in enumerate(lines, start=1):
                if line.strip():
                    yield f"{path}:{number}", _json_object(line, f"{path}:{number}")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorruptDataError(f"cannot read {path}: {error}") from error


def _json_object(line: str, where: str) -> Json:
    """The object in a line."""
    try:
        document = json.loads(line)
    except (json.JSONDecodeError, RecursionError) as error:
        raise CorruptDataError(f"{where} is not JSON: {error}") from error
    if not isinstance(document, dict):
        raise CorruptDataError(f"{where} is {type(document).__name__}, not an object")
    return document


def file_sha256(path: Path) -> str:
    """The SHA-256 of a file's bytes, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_text(path: Path) -> str:
    """The text of a UTF-8 file, unpacked if its name ends in `.gz`.

    Raises:
      CorruptDataError: If it is not gzip, or not UTF-8.
    """
    try:
        raw = path.read_bytes()
        if path.suffix == ".gz":
            raw = gzip.decompress(raw)
        return raw.decode("utf-8")
    except (OSError, EOFError, zlib.error, UnicodeDecodeError) as error:
        raise CorruptDataError(f"cannot read {path}: {error}") from error


def write_records(path: Path, records: Iterable[pydantic.BaseModel]) -> None:
    """Writes records as JSON lines, atomically."""
    write_atomic(path, "".join(record.model_dump_json() + "\n" for record in records))


def read_records(path: Path, kind: type[RecordT]) -> Iterator[RecordT]:
    """Reads JSON lines, each one record of `kind`.

    Raises:
      UsageError: If the file is missing.
      CorruptDataError: If a line is not such a record; the message names the line.
    """
    require_file(path, f"{kind.__name__} file")
    for number, line in enumerate(read_text(path).split("\n"), start=1):
        if line.strip():
            yield parse_record(line, kind, f"{path}:{number}")


def parse_record(line: str | bytes, kind: type[RecordT], where: str) -> RecordT:
    """The record in one JSON line.

    Raises:
      CorruptDataError: If it is not such a record; the message begins with `where`.
    """
    try:
        return kind.model_validate_json(line)
    except pydantic.ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"])) or "line"
        raise CorruptDataError(
            f"{where} is not a {kind.__name__}: {field}: {first['msg']}"
        ) from error
