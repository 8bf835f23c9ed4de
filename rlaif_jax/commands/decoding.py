"""What `sample` computes on, and its step, with shapes in place of data."""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property

import jax
import numpy as np
from jax.sharding import Mesh

from rlaif_jax.commands.policy import with_choices
from rlaif_jax.commands.rows import DECODED
from rlaif_jax.commands.workload import Assumed, architecture, lengths, times
from rlaif_jax.config import SampleConfig
from rlaif_jax.models import Params, TransformerConfig
from rlaif_jax.models.flops import TokenCounts, forward_flops
from rlaif_jax.planning.decode_model import DecodeModel
from rlaif_jax.planning.estimate import Demand, Estimate, Step
from rlaif_jax.planning.shapes import prompt_shapes, weight_shapes
from rlaif_jax.planning.topology import Topology
from rlaif_jax.sampling.decode import Stopping
from rlaif_jax.sampling.engine import jitted_decode, num_rows, prompt_width
from rlaif_jax.sampling.select import Selection


@dataclass(frozen=True, kw_only=True)
class Decoding:
    """Completing a batch of prompts, each by as many tokens as it may have.

    Attributes:
      config: The run's.
      assumed: What it does not say.
      mesh: The devices, which is JAX's current one.
    """

    config: SampleConfig
    assumed: Assumed
    mesh: Mesh

    @cached_property
    def model(self) -> TransformerConfig:
        """The architecture.

        Raises:
          UsageError: As the run would, if attention cannot do it.
        """
        tokens = self.config.tokens
        longest = tokens.max_prompt_tokens + tokens.max_completion_tokens
        plain = architecture(self.config.model, self.assumed)
        return with_choices(plain, self.config.model, self.mesh, DECODED, longest)

    @property
    def weights(self) -> Params:
        """Shapes of them."""
        return weight_shapes(self.model, self.mesh, self.assumed.param_dtype)

    @property
    def rows(self) -> int:
        """Of a batch."""
        return num_rows(self.config.batch_size, self.mesh)

    @property
    def prompt(self) -> int:
        """Slots of a padded prompt."""
        return prompt_width(self.config.tokens.max_prompt_tokens)

    @property
    def most(self) -> int:
        """Tokens that are chosen in one row; some row goes on to the limit."""
        return self.config.tokens.max_completion_tokens

    @property
    def demand(self) -> Demand:
        """What a batch needs."""
        prompt, completion = lengths(self.config.tokens, self.assumed)
        window = self.model.sliding_window
        one = TokenCounts.of(prompt, (completion,), window=window)
        flops = forward_flops(self.model, times(one, self.rows))
        return Demand("decode", flops, flops, self.rows * completion)

    def steps(self) -> Iterator[Step]:
        """The one step, traced."""
        config, model = self.config, self.model
        selection = Selection(
            temperature=config.temperature, top_k=config.top_k, top_p=config.top_p
        )
        stopping = Stopping(end_ids=(model.eos_token_id,), max_new_tokens=self.most)
        decode = jitted_decode(model, self.mesh, selection, stopping)
        lowered = decode.lower(
            self.weights,
            prompt_shapes(self.rows, self.prompt, self.mesh),
            jax.ShapeDtypeStruct((), np.int32),
        )
        yield Step(demand=self.demand, lowered=lowered)

    def modelled(self, topology: Topology) -> Iterator[Estimate]:
        """The same by the model."""
        model = DecodeModel(
            config=self.model,
            weights=self.weights,
            mesh=self.mesh.shape,
            rows=self.rows,
            prompt=self.prompt,
            most=self.most,
        )
        yield model.estimate(self.demand, topology)
