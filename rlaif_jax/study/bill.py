"""What the stages of a study cost, for each arm and in all."""

import shlex
from collections.abc import Iterable
from typing import Literal

from pydantic import Field

from rlaif_jax.records import Record

Role = Literal["teacher", "critic", "evaluator"]
DeviceUse = Literal["training", "sampling"]

MAKING: tuple[Role, ...] = ("teacher", "critic")  # what a policy costs to make


class Spend(Record):
    """Calls to one chat model, and what they were billed."""

    calls: int = Field(default=0, ge=0)
    prompt_tokens: int = Field(default=0, ge=0)
    completion_tokens: int = Field(default=0, ge=0)
    cost_usd: float = Field(default=0.0, ge=0, allow_inf_nan=False)

    def __add__(self, other: "Spend") -> "Spend":
        return Spend(
            calls=self.calls + other.calls,
            prompt_tokens=self.prompt_tokens + other.prompt_tokens,
            completion_tokens=self.completion_tokens + other.completion_tokens,
            cost_usd=self.cost_usd + other.cost_usd,
        )


class Stage(Record):
    """One finished stage of the graph, and every arm that builds on it."""

    stage_id: str  # its folder's name: the hash of its config and inputs
    kind: str  # the verb that ran: complete, sft, sample, label, ...
    arms: tuple[str, ...]
    title: str = ""  # for people
    folder: str = ""  # where it is, as the study's user would type it
    spend: dict[Role, Spend] = Field(default_factory=dict)
    device_s: dict[DeviceUse, float] = Field(default_factory=dict)  # times devices
    shares: dict[str, Spend] = Field(default_factory=dict)  # arm -> it needs no more
    flops: float = Field(default=0.0, ge=0)  # of training

    @property
    def command(self) -> str:
        """What to type to run this stage alone, from the config that it left."""
        home = "~/" if self.folder.startswith("~/") else ""  # quoted, it stays a tilde
        config = shlex.quote(f"{self.folder.removeprefix(home)}/config.json")
        return f"rlaif-jax {self.kind} {home}{config} --out again/{self.stage_id}"


class Bill(Record):
    """A sum of stages."""

    spend: dict[Role, Spend]
    device_s: dict[DeviceUse, float]
    flops: float = 0.0  # of training

    @property
    def all_roles(self) -> Spend:
        """Every call, whoever answered it."""
        return sum(self.spend.values(), Spend())

    @property
    def making_usd(self) -> float:
        """The price of the policy: its teacher and its critic, not its evaluation."""
        costs = (self.spend[role].cost_usd for role in MAKING if role in self.spend)
        return sum(costs, 0.0)

    @property
    def total_device_s(self) -> float:
        """Training and sampling together."""
        return sum(self.device_s.values(), 0.0)


def arm_bill(stages: Iterable[Stage], arm: str) -> Bill:
    """What one arm would have cost alone: every stage it uses, shared or not.

    Of a teacher that wrote for others too, what it needs.
    """
    used = (stage for stage in stages if arm in stage.arms)
    return total_bill(
        stage.model_copy(
            update={"spend": dict.fromkeys(stage.spend, stage.shares[arm])}
        )
        if arm in stage.shares
        else stage
        for stage in used
    )


def total_bill(stages: Iterable[Stage]) -> Bill:
    """What was paid: every stage once, however many arms share it."""
    spend: dict[Role, Spend] = {}
    device_s: dict[DeviceUse, float] = {}
    flops = 0.0
    for stage in stages:
        flops += stage.flops
        for role, amount in stage.spend.items():
            spend[role] = spend.get(role, Spend()) + amount
        for use, seconds in stage.device_s.items():
            device_s[use] = device_s.get(use, 0.0) + seconds
    return Bill(spend=spend, device_s=device_s, flops=flops)
