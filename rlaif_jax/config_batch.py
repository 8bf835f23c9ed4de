"""How questions are put: by this process, a provider's Batch API, or a Ray cluster.

Imports no JAX, as `config` does not.
"""

from typing import Literal

from pydantic import Field, model_validator

from rlaif_jax.config_base import Config

Engine = Literal["local", "batch"]  # local: calls of this process


class BatchConfig(Config):
    """With `engine=batch`: how large batches are, and how long they are waited for."""

    price_share: float = Field(default=0.5, gt=0, le=1)  # of the listed prices
    max_requests: int | None = Field(default=None, ge=1)  # the provider's most, if null
    max_bytes: int | None = Field(default=None, ge=1000)  # the provider's most, if null
    max_batches: int = Field(default=8, ge=1)  # of one model at the provider at a time
    max_rounds: int = Field(default=3, ge=1)  # batches that one question may be in
    poll_s: float = Field(default=60.0, gt=0)  # between looks; grows tenfold
    max_wait_s: float = Field(default=93600.0, gt=0)  # of one run; batches go on
    rest: Literal["wait", "live"] = "wait"  # live: what no batch answered is called for
    files: Literal["keep", "delete"] = "keep"  # delete: at the provider, when read


class RayConfig(Config):
    """Where `label engine=ray` runs, and where its tasks meet."""

    address: str | None = None  # HOST:PORT of a cluster's head; null: started here
    storage: str | None = None  # a folder that all nodes share, or s3://BUCKET/PREFIX
    blocks_in_flight: int = Field(default=16, ge=1)  # tasks at a time; one, one block
    cpus_per_task: float = Field(default=1.0, gt=0)  # of a node; less: more tasks there

    @model_validator(mode="after")
    def _nodes_share(self) -> "RayConfig":
        if self.address is not None and self.storage is None:
            raise ValueError(
                "ray.address needs ray.storage too, which every node can reach: a"
                " shared folder, or s3://BUCKET/PREFIX"
            )
        return self
