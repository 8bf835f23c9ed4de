"""Files that many machines write, each once, in a shared folder or in a bucket.

A folder is read and written with system calls; `s3://`, `gs://` and `az://` addresses
with `obstore`, which takes its credentials from the environment of every machine.
"""

import asyncio
import contextlib
import importlib
import os
import uuid
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

from rlaif_jax.errors import InternalError, UsageError
from rlaif_jax.files import sync_folder

_RETRY_S = 120.0  # that a bucket may be out of reach
_LONGEST_QUOTE = 200  # characters of a storage error that a message shows


@runtime_checkable
class Log(Protocol):
    """Lines that only one process appends, and any may read."""

    def append(self, line: bytes) -> None:
        """Adds a line, which ends in a newline."""
        ...

    async def flush(self) -> None:
        """Returns once every line so far survives the machine."""
        ...

    def close(self) -> None:
        """Takes no further line; what is not flushed may be lost."""
        ...


@runtime_checkable
class Objects(Protocol):
    """Objects with names such as `blocks/000012.jsonl`; none ever changes."""

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Writes an object whole, unless there is one; says whether it did."""
        ...

    def read(self, name: str) -> bytes | None:
        """What an object holds; None if there is none."""
        ...

    def names(self, folder: str) -> list[str]:
        """The objects anywhere below a folder, in order."""
        ...

    def new_log(self, folder: str) -> Log:
        """A log that is kept as the objects of a folder, read in order of names."""
        ...


def open_objects(place: str) -> Objects:
    """The objects below a folder, or below an address such as `s3://BUCKET/PREFIX`.

    Raises:
      UsageError: If there cannot be such a place, or its library is missing.
    """
    if "://" in place:
        return BucketObjects(place)
    return FolderObjects(Path(place))


class FolderObjects:
    """Objects that are files; on many machines the folder must be a shared one."""

    def __init__(self, folder: Path):
        self._folder = folder

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Writes a file whole, unless there is one; says whether it did.

        A link to a file that is already on disk is made or refused at once, on NFS too,
        where an exclusive open is not safe everywhere.
        """
        path = self._folder / name
        _make_folder(path.parent)
        temporary = path.with_name(f".{path.name}.{uuid.uuid4().hex}.tmp")
        try:
            with temporary.open("wb") as file:
                file.write(content)
                file.flush()
                os.fsync(file.fileno())
            os.link(temporary, path)
        except FileExistsError:
            return False
        except OSError as error:
            raise _not_written(path, _why(error)) from error
        finally:
            temporary.unlink(missing_ok=True)
        sync_folder(path.parent)
        return True

    def read(self, name: str) -> bytes | None:
        """What a file holds; None if there is none."""
        try:
            return (self._folder / name).read_bytes()
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """The files anywhere below a folder, in order; none that is being written."""
        found = (self._folder / folder).rglob("*")
        return sorted(
            path.relative_to(self._folder).as_posix()
            for path in found
            if path.is_file() and not path.name.startswith(".")
        )

    def new_log(self, folder: str) -> Log:
        """A log in one file, where every line is as soon as it is appended."""
        return _FileLog(self._folder / folder / _part(0))


class _FileLog:
    """A file that survives the process line by line, and the machine once flushed."""

    def __init__(self, path: Path):
        self._path = path
        _make_folder(path.parent)
        try:
            flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_EXCL
            self._file = os.open(path, flags, 0o644)
        except OSError as error:
            raise _not_written(path, _why(error)) from error
        sync_folder(path.parent)

    def append(self, line: bytes) -> None:
        """Writes a line with one call; a reader ignores one that is torn."""
        try:
            written = os.write(self._file, line)
            while written < len(line):
                written += os.write(self._file, line[written:])
        except OSError as error:
            raise _not_written(self._path, _why(error)) from error

    async def flush(self) -> None:
        """Brings the file onto the disk."""
        await asyncio.to_thread(os.fdatasync, self._file)

    def close(self) -> None:
        """Closes the file."""
        os.close(self._file)
        self._file = -1  # a late write must fail, not reach another file


class BucketObjects:
    """Objects of a bucket, created with the condition that there is none yet."""

    def __init__(self, address: str):
        """The objects below an address.

        Raises:
          UsageError: If `obstore` is missing, or the address is none.
        """
        try:
            obstore: Any = importlib.import_module("obstore")
            store: Any = importlib.import_module("obstore.store")
        except ImportError as error:
            raise UsageError(
                f"storage {address} needs a package that is not installed: pip install"
                " 'rlaif_jax[ray]'"
            ) from error
        self._address = address
        self._obstore = obstore
        try:
            retries = {"retry_timeout": timedelta(seconds=_RETRY_S)}
            self._store: Any = store.from_url(address, retry_config=retries)
        except (ValueError, obstore.exceptions.BaseError) as error:
            raise UsageError(f"cannot open {address}: {_quoted(error)}") from error

    def put_if_absent(self, name: str, content: bytes) -> bool:
        """Writes an object, unless there is one; says whether it did."""
        try:
            with self._told(name):
                self._obstore.put(self._store, name, content, mode="create")
        except FileExistsError:
            return False
        return True

    def read(self, name: str) -> bytes | None:
        """What an object holds; None if there is none."""
        try:
            with self._told(name):
                return bytes(self._obstore.get(self._store, name).bytes())
        except FileNotFoundError:
            return None

    def names(self, folder: str) -> list[str]:
        """The objects anywhere below a folder, in order."""
        with self._told(folder):
            pages = self._obstore.list(self._store, folder)
            return sorted(entry["path"] for page in pages for entry in page)

    def new_log(self, folder: str) -> Log:
        """A log that becomes a further object with every flush."""
        return _BucketLog(self, folder)

    async def put_new(self, name: str, content: bytes) -> None:
        """Writes an object that nobody else may have written."""
        try:
            with self._told(name):
                await self._obstore.put_async(self._store, name, content, mode="create")
        except FileExistsError:  # perhaps by this very request, sent again
            if self.read(name) != content:
                where = f"{self._address}/{name}"
                raise _not_written(where, "another process wrote it") from None

    @contextlib.contextmanager
    def _told(self, name: str) -> Iterator[None]:
        """Turns the library's errors into ones that name the object."""
        errors = self._obstore.exceptions
        try:
            yield
        except errors.AlreadyExistsError as error:
            raise FileExistsError(name) from error
        except FileNotFoundError:
            raise
        except (errors.BaseError, OSError) as error:
            raise _not_written(f"{self._address}/{name}", _quoted(error)) from error


class _BucketLog:
    """A log whose lines wait in memory for the next flush."""

    def __init__(self, objects: BucketObjects, folder: str):
        self._objects = objects
        self._folder = folder
        self._lines: list[bytes] = []
        self._num_parts = 0

    def append(self, line: bytes) -> None:
        """Keeps a line until the next flush."""
        self._lines.append(line)

    async def flush(self) -> None:
        """Writes what is waiting as one object; called by one task at a time."""
        if not self._lines:
            return
        lines, self._lines = self._lines, []
        name = f"{self._folder}/{_part(self._num_parts)}"
        self._num_parts += 1
        await self._objects.put_new(name, b"".join(lines))

    def close(self) -> None:
        """Forgets what was not flushed."""
        self._lines = []


def _make_folder(folder: Path) -> None:
    """Makes a folder and those above it, unless they are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _not_written(folder, _why(error)) from error


def _part(number: int) -> str:
    """The name of a part of a log; parts sort as they were written."""
    return f"{number:06d}.jsonl"


def _not_written(where: object, why: str) -> InternalError:
    return InternalError(
        f"cannot use {where}: {why}: check the storage, then run the same command again"
    )


def _why(error: OSError) -> str:
    """What the system says."""
    return error.strerror or str(error)


def _quoted(error: BaseException) -> str:
    """The first words of an error; a server's whole answer does not belong in a log."""
    return " ".join(str(error).split())[:_LONGEST_QUOTE]
