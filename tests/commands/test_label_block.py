"""Tests of one block as a task, with a governor in this process."""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from rlaif_jax import __version__
from rlaif_jax.commands.judging import template_hashes
from rlaif_jax.commands.label_block import BlockJob, label_block
from rlaif_jax.config_endpoints import CriticConfig
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.attempts import read_attempts
from rlaif_jax.labeling.governor import Governor
from rlaif_jax.labeling.objects import FolderObjects
from rlaif_jax.records import Comparison, Completion, Label, Message, Prompt

pytestmark = pytest.mark.anyio


@pytest.fixture
def anyio_backend():
    return "asyncio"


class Local:
    """A governor without an actor."""

    def __init__(self, **fields):
        self.governor = Governor(
            **({"budget_usd": None, "max_in_flight": (8,)} | fields)
        )

    async def sync(self, report):
        return self.governor.sync(report)

    async def close(self, attempt, spent_usd):
        self.governor.close(attempt, spent_usd)


@pytest.fixture
def comparisons():
    found = []
    for number in range(6):
        message = Message(role="user", content=f"question {number}")
        prompt = Prompt.create((message,), source="test")
        sides = [
            Completion.create(prompt.prompt_id, f"{word} {number}", generator=word)
            for word in ("one", "two")
        ]
        found.append(Comparison.create(prompt, *sides))
    return found


@pytest.fixture
def job(endpoint, tmp_path):
    def build(**fields):
        critic = CriticConfig(
            **endpoint("lab-critic-strong", **fields.pop("critic", {}))
        )
        usual = {
            "critic": critic,
            "orders": "both",
            "storage": str(tmp_path / "storage"),
            "budget_usd": None,
            "template_hashes": template_hashes(critic),
            "version": __version__,
        }
        return BlockJob(**(usual | fields))

    return build


def labels_of(job, name):
    content = FolderObjects(Path(job.storage)).read(name)
    return [Label.model_validate_json(line) for line in content.splitlines()]


def attempts(job):
    return read_attempts(FolderObjects(Path(job.storage)), 2)


async def test_a_block_is_labeled_and_written_once(job, comparisons):
    one = job()
    name = await label_block(one, 2, comparisons, Local())
    assert name == "blocks/000002.jsonl"
    labels = labels_of(one, name)
    assert [label.pair_id for label in labels] == [c.pair_id for c in comparisons]
    assert [(a.num_calls, a.is_ended) for a in attempts(one)] == [(12, True)]
    assert await label_block(one, 2, comparisons, Local()) == name
    assert len(attempts(one)) == 1  # nothing was begun again


async def test_two_attempts_at_once_write_one_block(job, comparisons):
    one, local = job(), Local()
    names = await asyncio.gather(
        *(label_block(one, 2, comparisons, local) for _ in range(2)),
        return_exceptions=True,
    )
    assert "blocks/000002.jsonl" in names  # the other was sent away, or came second
    assert len(labels_of(one, "blocks/000002.jsonl")) == 6


async def test_a_retry_asks_only_what_was_not_answered(job, comparisons):
    one = job()
    first = Local(budget_usd=1e-3)
    with pytest.raises(RefusedError, match="budget"):
        await label_block(job(budget_usd=1e-3), 2, comparisons, first)
    (before,) = attempts(one)
    assert 0 < before.num_calls < 12
    assert first.governor.committed_usd == before.spent_usd <= 1e-3
    await label_block(one, 2, comparisons, Local())
    assert sum(attempt.num_calls for attempt in attempts(one)) == 12


async def test_labels_without_an_answer_are_not_final(job, comparisons):
    nobody = {"base_url": "http://127.0.0.1:1/v1", "max_attempts": 1}
    name = await _failed(job(critic=nobody), comparisons[:1])
    assert name.startswith("blocks/000002.0000-")
    assert labels_of(job(), name)[0].state == "failed"
    assert await label_block(job(), 2, comparisons, Local()) == "blocks/000002.jsonl"


async def _failed(one, comparisons):
    return await label_block(one, 2, comparisons, Local())


async def test_another_version_and_another_template_are_refused(job, comparisons):
    with pytest.raises(UsageError, match=r"0\.0\.7"):
        await label_block(job(version="0.0.7"), 2, comparisons, Local())
    with pytest.raises(UsageError, match="another template"):
        await label_block(job(template_hashes=("x",)), 2, comparisons, Local())


async def test_a_missing_key_names_its_variable(job, comparisons):
    one = job(critic={"api_key_env": "RLAIF_NO_SUCH_KEY"})
    local = Local()
    with pytest.raises(UsageError, match="RLAIF_NO_SUCH_KEY"):
        await label_block(one, 2, comparisons, local)
    assert attempts(one)[0].is_ended


def test_a_task_loads_no_jax():
    code = (
        "import rlaif_jax.commands.label_block, rlaif_jax.labeling.ray_cluster, sys;"
        "sys.exit('jax' in sys.modules)"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
