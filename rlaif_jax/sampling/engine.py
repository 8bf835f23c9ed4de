"""The sampler: any number of prompts, in batches of one shape, results in order."""

import itertools
import math
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import KW_ONLY, dataclass
from functools import cached_property, partial
from typing import Literal, NamedTuple

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec
from jax.stages import Wrapped

from rlaif_jax.errors import UsageError
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.sampling.decode import Decoded, PromptBatch, Stopping, decode
from rlaif_jax.sampling.select import Selection
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.sharding.placement import host_rows, place_batch

_WIDTH_MULTIPLE = 16  # of padded prompts


class Sampled(NamedTuple):
    """One completion."""

    token_ids: tuple[int, ...]  # without the end token
    finish_reason: Literal["stop", "length"]


class Request(NamedTuple):
    """One completion to be made."""

    row_key: str  # names the row's randomness: the prompt's id
    token_ids: Sequence[int]


@dataclass(frozen=True)
class Sampler:
    """Completes prompts with one policy and one way of choosing tokens.

    Attributes:
      config: The policy's architecture.
      params: Its parameters, placed on the mesh.
      mesh: Rows of a batch are spread over its axes data and fsdp.
      temperature: 0 is greedy.
      top_k: Tokens kept at each step; all, if None.
      top_p: Probability mass kept at each step, in (0, 1].
      max_prompt_tokens: A longer prompt is refused: cutting it is the encoder's job.
      max_new_tokens: Of a row, the end token included.
      batch_size: Rows decoded together, rounded up so that devices share them evenly.
      end_ids: Tokens that end a completion.
      seed: Of all randomness, together with each row's name.
    """

    config: TransformerConfig
    params: Params
    _: KW_ONLY
    mesh: Mesh
    temperature: float
    top_k: int | None
    top_p: float
    max_prompt_tokens: int
    max_new_tokens: int
    batch_size: int
    end_ids: tuple[int, ...]
    seed: int = 0

    def __post_init__(self):
        if self.batch_size < 1:
            raise ValueError(f"batch_size {self.batch_size} is not positive")

    def sample(
        self, requests: Sequence[tuple[str, Sequence[int]]]
    ) -> Iterator[Sampled]:
        """Completions, one a request and in their order.

        All prompts are padded to one width, the longest's rounded up, and the last
        batch is filled with dummy rows: one shape, so one compilation. A name that
        occurs again gets fresh randomness: another completion of the same prompt.

        Args:
          requests: Name and token ids of each prompt, as in `Request`.

        Raises:
          UsageError: If a prompt is empty or too long; before anything is sampled.
        """
        named = [Request(*request) for request in requests]
        for request in named:
            self._check(request)
        return self._completions(named)

    def _check(self, request: Request) -> None:
        length = len(request.token_ids)
        if length == 0:
            raise UsageError(f"prompt {request.row_key} has no tokens: leave it out")
        if length > self.max_prompt_tokens:
            raise UsageError(
                f"prompt {request.row_key} has {length} tokens, over "
                f"max_prompt_tokens={self.max_prompt_tokens}: cut it or raise the limit"
            )

    def _completions(self, requests: list[Request]) -> Iterator[Sampled]:
        longest = max((len(request.token_ids) for request in requests), default=0)
        width = prompt_width(longest)
        seen = Counter[str]()
        for start in range(0, len(requests), self._num_rows):
            batch = requests[start : start + self._num_rows]
            host = host_batch(batch, self._num_rows, width, seen)
            decoded = self._decode(self.params, self._place(host), np.int32(self.seed))
            yield from completions(jax.device_get(decoded), len(batch))

    @property
    def _num_rows(self) -> int:
        """Rows of a batch."""
        return num_rows(self.batch_size, self.mesh)

    def _place(self, batch: dict[str, np.ndarray]) -> PromptBatch:
        """This process's rows, as its part of the global batch."""
        rows = host_rows(self._num_rows, jax.process_index(), jax.process_count())
        local = {name: array[rows] for name, array in batch.items()}
        return PromptBatch(**place_batch(local, self.mesh))

    @cached_property
    def _decode(self) -> Wrapped:
        """The compiled call."""
        selection = Selection(
            temperature=self.temperature, top_k=self.top_k, top_p=self.top_p
        )
        stopping = Stopping(end_ids=self.end_ids, max_new_tokens=self.max_new_tokens)
        return jitted_decode(self.config, self.mesh, selection, stopping)


def jitted_decode(
    config: TransformerConfig, mesh: Mesh, selection: Selection, stopping: Stopping
) -> Wrapped:
    """`decode` of parameters, prompts and a seed; results are whole everywhere.

    Args:
      config: The policy's architecture.
      mesh: The devices.
      selection: How a token is chosen.
      stopping: When a row is complete.
    """
    return jax.jit(
        partial(decode, config, selection=selection, stopping=stopping),
        out_shardings=NamedSharding(mesh, PartitionSpec()),
    )


def num_rows(batch_size: int, mesh: Mesh) -> int:
    """Rows of a batch: a multiple of the devices that share it."""
    return _round_up(batch_size, batch_divisor(mesh))


def prompt_width(longest: int) -> int:
    """Slots of a padded prompt: few different ones, so few compilations."""
    return _round_up(longest, _WIDTH_MULTIPLE)


def host_batch(
    requests: Sequence[Request], num_rows: int, width: int, seen: Counter[str]
) -> dict[str, np.ndarray]:
    """The fields of a `PromptBatch`: prompts, and dummy rows up to `num_rows`.

    Args:
      requests: At most `num_rows`, each of at most `width` tokens.
      num_rows: Rows of the batch.
      width: Slots of a row.
      seen: How often each name has come up; counted on.
    """
    token_ids = np.zeros((num_rows, width), np.int32)
    lengths = np.zeros(num_rows, np.int32)
    row_hashes = np.zeros(num_rows, np.uint32)
    sample_indices = np.zeros(num_rows, np.int32)
    for row, (row_key, prompt) in enumerate(requests):
        token_ids[row, : len(prompt)] = prompt
        lengths[row] = len(prompt)
        row_hashes[row] = zlib.crc32(row_key.encode())
        sample_indices[row] = seen[row_key]
        seen[row_key] += 1
    return {
        "token_ids": token_ids,
        "lengths": lengths,
        "row_hashes": row_hashes,
        "sample_indices": sample_indices,
    }


def completions(decoded: Decoded, num_real: int) -> Iterator[Sampled]:
    """The first rows of a decoded batch, one completion each."""
    for token_ids, num_tokens, is_stopped in itertools.islice(
        zip(*decoded, strict=True), num_real
    ):
        yield Sampled(
            token_ids=tuple(token_ids[:num_tokens].tolist()),
            finish_reason="stop" if is_stopped else "length",
        )


def _round_up(number: int, multiple: int) -> int:
    return math.ceil(number / multiple) * multiple
