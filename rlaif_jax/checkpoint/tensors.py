"""Named tensors in safetensors files, single or sharded, read and written in pieces."""

import json
from collections.abc import Iterable
from pathlib import Path, PurePosixPath

import ml_dtypes  # noqa: F401  registers bfloat16, which safetensors asks NumPy for
import numpy as np
import safetensors
from safetensors.numpy import save_file

from rlaif_jax.errors import CorruptDataError, RefusedError, UsageError
from rlaif_jax.files import read_json, sync_folder, write_json

SINGLE = "model.safetensors"
INDEX = "model.safetensors.index.json"
_FLOATS = ("F32", "F16", "BF16")
_PICKLES = ("*.bin", "*.pt", "*.pth", "*.ckpt")


class TensorFiles:
    """The tensors of a folder, by name; each is read when asked for."""

    def __init__(self, folder: Path):
        """Reads names only.

        Raises:
          UsageError: If there are no weights.
          RefusedError: If they are pickled, or the index points out of the folder.
          CorruptDataError: If the index or a file is damaged.
        """
        self._folder = folder
        self._file_of = _file_of_each_tensor(folder)

    @property
    def names(self) -> set[str]:
        """The names of all tensors."""
        return set(self._file_of)

    def read(
        self,
        name: str,
        shape: tuple[int, ...],
        slices: tuple[slice, ...] | None = None,
    ) -> np.ndarray:
        """One tensor or a rectangle of it, in its own dtype.

        Args:
          name: The tensor's.
          shape: That it must have.
          slices: Start and stop in each dimension, all there; only these bytes are
            read.

        Raises:
          CorruptDataError: If it is missing, damaged, or of another shape.
          RefusedError: If it holds no floats, as in a quantized model.
        """
        if name not in self._file_of:
            raise CorruptDataError(f"{self._folder} has no tensor {name}")
        path = self._folder / self._file_of[name]
        try:
            with safetensors.safe_open(path, "np") as file:
                found = file.get_slice(name)
                if found.get_dtype() not in _FLOATS:
                    raise RefusedError(
                        f"{name} in {path} is {found.get_dtype()}: only "
                        f"{', '.join(_FLOATS)} are implemented"
                    )
                if tuple(found.get_shape()) != shape:
                    raise CorruptDataError(
                        f"{name} in {path} has shape {tuple(found.get_shape())}, and "
                        f"config.json asks for {shape}"
                    )
                return file.get_tensor(name) if slices is None else found[slices]
        except (safetensors.SafetensorError, OSError) as error:
            raise CorruptDataError(f"cannot read {name} in {path}: {error}") from error


def write_tensors(
    folder: Path, tensors: Iterable[tuple[str, np.ndarray]], *, max_bytes: int
) -> list[Path]:
    """Writes named tensors, into several files with an index if they do not fit one.

    Holds no more than one file's tensors. Files get their final names at the end, so
    a folder whose writing was killed does not look complete.

    Args:
      folder: Where to; it exists. Weights from an earlier call are replaced.
      tensors: Names and contiguous arrays, in the order of the files.
      max_bytes: Of one file's arrays; a larger array gets a file of its own.

    Returns:
      The files of weights.
    """
    for stale in (*folder.glob("model*.safetensors"), folder / INDEX):
        stale.unlink(missing_ok=True)
    parts, names, total_bytes = [], [], 0
    for group in _groups(tensors, max_bytes):
        part = folder / f".part-{len(parts)}.tmp"
        save_file(group, part, metadata={"format": "pt"})  # transformers asks for it
        parts.append(part)
        names.append(list(group))
        total_bytes += sum(array.nbytes for array in group.values())
    if len(parts) == 1:
        files = [folder / SINGLE]
    else:
        files = [
            folder / f"model-{i:05}-of-{len(parts):05}.safetensors"
            for i in range(1, len(parts) + 1)
        ]
    for part, file in zip(parts, files, strict=True):
        part.replace(file)
    if len(files) > 1:
        weight_map = {
            name: file.name
            for file, group in zip(files, names, strict=True)
            for name in group
        }
        index = {"metadata": {"total_size": total_bytes}, "weight_map": weight_map}
        write_json(folder / INDEX, index)
    sync_folder(folder)
    return files


def _groups(
    tensors: Iterable[tuple[str, np.ndarray]], max_bytes: int
) -> Iterable[dict[str, np.ndarray]]:
    """Consecutive tensors that fit one file."""
    group: dict[str, np.ndarray] = {}
    group_bytes = 0
    for name, array in tensors:
        if group and group_bytes + array.nbytes > max_bytes:
            yield group
            group, group_bytes = {}, 0
        group[name] = array
        group_bytes += array.nbytes
    if group:
        yield group


def _file_of_each_tensor(folder: Path) -> dict[str, str]:
    """The file name of every tensor in the folder."""
    if (folder / SINGLE).is_file():
        return dict.fromkeys(_names_in(folder / SINGLE), SINGLE)
    if not (folder / INDEX).is_file():
        raise _no_weights(folder)
    weight_map = read_json(folder / INDEX, "safetensors index").get("weight_map")
    if not isinstance(weight_map, dict):
        raise CorruptDataError(f"{folder / INDEX} has no weight_map")
    for file in sorted(set(map(str, weight_map.values()))):
        if PurePosixPath(file).name != file or "\\" in file or file in ("", ".."):
            raise RefusedError(
                f"{folder / INDEX} names {json.dumps(file)}, which is not a file of "
                "its own folder"
            )
        lost = {name for name, home in weight_map.items() if home == file}
        lost -= set(_names_in(folder / file))
        if lost:
            raise CorruptDataError(f"{folder / file} has no tensor {min(lost)}")
    return weight_map


def _names_in(path: Path) -> list[str]:
    """The names of a file's tensors; opening it checks that it is whole."""
    try:
        with safetensors.safe_open(path, "np") as file:
            return list(file.keys())
    except (safetensors.SafetensorError, OSError) as error:
        raise CorruptDataError(f"cannot read {path}: {error}") from error


def _no_weights(folder: Path) -> Exception:
    """Why there is nothing to read."""
    pickles = sorted(path.name for kind in _PICKLES for path in folder.glob(kind))
    if pickles:
        return RefusedError(
            f"{folder / pickles[0]} is pickled and can run code: convert it with "
            "transformers' save_pretrained(safe_serialization=True)"
        )
    return UsageError(f"no {SINGLE} or {INDEX} in {folder}: check the path")
