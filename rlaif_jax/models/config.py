"""The sizes, variants and precision that define one transformer."""

import dataclasses
from typing import Any

from rlaif_jax.errors import CorruptDataError
from rlaif_jax.models.attending.support import BACKENDS
from rlaif_jax.models.remat import REMATS
from rlaif_jax.typing import Json

_POSITIVE = (
    "vocab_size",
    "embed",
    "num_layers",
    "kv_heads",
    "q_groups",
    "head_dim",
    "ffw",
    "max_positions",
    "rope_theta",
    "norm_eps",
)
_CHOICES = {
    "norm": ("rms", "layer"),
    "activation": ("silu", "gelu", "gelu_tanh"),
    "positions": ("rotary", "learned"),
    "head": ("tokens", "reward"),
    "compute_dtype": ("float32", "bfloat16", "float64"),  # the last in tests
    "remat": tuple(REMATS),
    "attention": tuple(BACKENDS),
}


@dataclasses.dataclass(frozen=True, kw_only=True)
class RopeScaling:
    """How rotary angles are slowed down, for texts longer than in pre-training."""

    kind: str  # linear: all alike; llama3: slow ones only, as Llama 3.1 does
    factor: float
    low_freq_factor: float = 1.0  # llama3: slower than this many turns is divided
    high_freq_factor: float = 4.0  # llama3: faster than this many turns is kept
    original_max_positions: int = 8192  # llama3: in which the turns are counted

    def __post_init__(self):
        if self.kind not in ("linear", "llama3"):
            raise ValueError(f"rope scaling {self.kind!r} is not known")
        if not self.factor > 0:
            raise ValueError(f"rope scaling by {self.factor}: must be positive")
        if not 0 < self.low_freq_factor < self.high_freq_factor:
            raise ValueError(
                f"rope scaling from {self.low_freq_factor} to {self.high_freq_factor}"
                " turns: the first must be smaller"
            )


@dataclasses.dataclass(frozen=True, kw_only=True)
class Lora:
    """Low-rank adapters beside the layers' linear maps.

    Hu et al. 2021, arXiv:2106.09685.
    """

    rank: int
    alpha: float  # adapters are scaled by alpha / rank
    targets: tuple[str, ...]  # names of linear maps, of `TransformerConfig.linears`

    def __post_init__(self):
        if self.rank < 1:
            raise ValueError(f"lora rank must be positive: {self.rank}")
        if not self.alpha > 0:
            raise ValueError(f"lora alpha must be positive: {self.alpha}")
        if not self.targets or len(set(self.targets)) < len(self.targets):
            raise ValueError(f"lora targets must be distinct names: {self.targets}")

    @property
    def scale(self) -> float:
        """What an adapter's result is multiplied with."""
        return self.alpha / self.rank


@dataclasses.dataclass(frozen=True, kw_only=True)
class TransformerConfig:
    """A decoder-only transformer; hashable, so it can be a static argument of `jit`.

    The defaults are Llama's; a family differs from it in what its presets name.
    """

    family: str  # names its files' form: one of checkpoint.families
    vocab_size: int
    embed: int  # width of the residual stream
    num_layers: int
    kv_heads: int
    q_groups: int  # query heads of one key/value head
    head_dim: int
    ffw: int
    max_positions: int  # that it was trained on; longer rows are not refused
    norm_eps: float

    norm: str = "rms"  # layer: with mean and bias
    norm_plus_one: bool = False  # an RMS norm's scale is stored less one
    post_norms: bool = False  # what attention and MLP add is normalized too
    qk_norm: bool = False  # queries and keys are normalized, head by head
    parallel_residual: bool = False  # attention and MLP read the same residual
    qkv_bias: bool = False
    out_bias: bool = False  # of the attention's output
    mlp_bias: bool = False
    gated: bool = True  # the MLP has a gate
    activation: str = "silu"

    positions: str = "rotary"
    rope_theta: float = 10_000.0
    rope_fraction: float = 1.0  # of each head's dimensions that are rotated
    rope_scaling: RopeScaling | None = None
    sliding_window: int | None = None  # keys a query sees, itself included
    global_every: int | None = None  # every n-th layer ignores the window
    query_scale: float | None = None  # head_dim^-0.5 if None
    attention_softcap: float | None = None  # bound of the attention scores
    logit_softcap: float | None = None  # bound of the logits
    embedding_scale: float = 1.0  # of the residual stream's start
    tie_embeddings: bool = False  # the head is the embedding, transposed
    head: str = "tokens"  # what states become; or reward: one number

    num_experts: int = 0  # 0: one MLP a layer
    experts_per_token: int = 2

    bos_token_id: int | None = None
    eos_token_id: int
    lora: Lora | None = None  # adapters that are trained in place of the weights
    compute_dtype: str = "float32"  # of activations; or bfloat16
    remat: str = "none"  # what a layer keeps for its backward: one of remat
    attention: str = "xla"  # the backend: one of attending.support

    def __post_init__(self):
        for name in _POSITIVE:
            if getattr(self, name) <= 0:
                raise ValueError(f"{name} must be positive: {getattr(self, name)}")
        for name, choices in _CHOICES.items():
            if (found := getattr(self, name)) not in choices:
                raise ValueError(f"{name} {found!r} is not one of {', '.join(choices)}")
        if self.positions == "rotary" and (self.rotary_dim % 2 or not self.rotary_dim):
            raise ValueError(f"rotary positions need an even width: {self.rotary_dim}")
        if self.sliding_window is not None and self.sliding_window < 1:
            raise ValueError(f"sliding_window must be positive: {self.sliding_window}")
        if self.num_experts and not 0 < self.experts_per_token <= self.num_experts:
            raise ValueError(
                f"{self.experts_per_token} experts a token of {self.num_experts}"
            )
        unknown = set(self.lora.targets if self.lora else ()) - set(self.linears)
        if unknown:
            raise ValueError(
                f"lora target {min(unknown)!r} is not one of {self.family}'s linear"
                f" maps {', '.join(self.linears)}"
            )

    @property
    def num_heads(self) -> int:
        """Query heads of one layer."""
        return self.kv_heads * self.q_groups

    @property
    def rotary_dim(self) -> int:
        """Dimensions of a head that are rotated."""
        return int(self.head_dim * self.rope_fraction)

    @property
    def linears(self) -> tuple[str, ...]:
        """The linear maps of a layer that every token passes through."""
        mlp = ("gate", "up", "down") if self.gated else ("up", "down")
        return ("q", "k", "v", "o", *(() if self.num_experts else mlp))

    @property
    def axis_sizes(self) -> dict[str, int]:
        """The length of each logical axis of the weights."""
        return {
            "layers": self.num_layers,
            "embed": self.embed,
            "kv_heads": self.kv_heads,
            "q_groups": self.q_groups,
            "head_dim": self.head_dim,
            "ffw": self.ffw,
            "vocab": self.vocab_size,
            "positions": self.max_positions,
            "experts": self.num_experts,
            "lora": self.lora.rank if self.lora else 0,
        }

    def replace(self, **changes: Any) -> "TransformerConfig":
        """The same config but for `changes`."""
        return dataclasses.replace(self, **changes)

    def to_json(self) -> Json:
        """All fields, for a file."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, document: Json) -> "TransformerConfig":
        """The config that `to_json` wrote.

        Raises:
          CorruptDataError: If a field is unknown, missing or has an impossible value.
        """
        try:
            scaling = document.get("rope_scaling")
            if scaling is not None:
                document = document | {"rope_scaling": RopeScaling(**scaling)}
            if (lora := document.get("lora")) is not None:
                lora = Lora(**lora | {"targets": tuple(lora["targets"])})
                document = document | {"lora": lora}
            return cls(**document)
        except (KeyError, TypeError, ValueError) as error:
            raise CorruptDataError(f"not a model config: {error}") from error
