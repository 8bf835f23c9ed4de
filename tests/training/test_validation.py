"""Tests of `rlaif_jax.training.validation`, on supervised fine-tuning."""

import json
from functools import partial

import jax
import numpy as np
import pytest

from rlaif_jax.checkpoint import store
from rlaif_jax.checkpoint.selection import read_selection
from rlaif_jax.checkpoint.weights import load_weights
from rlaif_jax.config_parts import AdamWConfig, CheckpointConfig, RowsConfig
from rlaif_jax.config_validation import ValidationConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Example, pack
from rlaif_jax.data.row_sources import MemorySource
from rlaif_jax.errors import InternalError, PreemptedError
from rlaif_jax.sharding.mesh import batch_divisor
from rlaif_jax.training.batches import place_rows
from rlaif_jax.training.plan import ValidationSet
from rlaif_jax.training.run import Task, train
from rlaif_jax.training.sft import sft_objective
from rlaif_jax.training.validation import pooled_mean

DRAWS = np.random.default_rng(0)
EXAMPLES = [
    Example(DRAWS.integers(2, 32, 4).tolist(), [*[7, 8, 9][: 1 + i % 3], 1])
    for i in range(20)
]  # 2 epochs of 20 are 5 batches of 8; step 3 ends the first
HELD_OUT = [
    Example(DRAWS.integers(2, 32, 4).tolist(), [*[7, 11, 9][: 1 + i % 3], 1])
    for i in range(11)
]  # two batches, the second of 3
SOURCE = MemorySource(EXAMPLES, fingerprint="examples")
EPOCHS = ValidationConfig()


@pytest.fixture
def run(start, plan, tiny):
    """Trains in a session, evaluated on what is held out."""

    def go(
        session,
        *,
        source=SOURCE,
        rhythm=EPOCHS,
        select="loss",
        layout="packed",
        **changes,
    ):
        objective = sft_objective(tiny, "sequence_sum")

        def load(parts):
            num_devices = batch_divisor(session.mesh)
            rows = RowsConfig(layout=layout)
            made = build_layout(rows, length=8, num_devices=num_devices).parts(parts)
            return [place_rows(one, session.mesh) for one in made]

        validation = ValidationSet(
            records=changes.pop("records", HELD_OUT),
            loss_fn=objective,
            config=rhythm,
            select=select,
            data={"splits": ["validation"]},
        )
        changes = {"validation": validation} | changes
        return train(
            start,
            source,
            task=Task(objective, load),
            plan=plan(**changes),
            session=session,
        )

    return go


def lines_of(session):
    text = (session.out / "validation.jsonl").read_text()
    return [json.loads(line) for line in text.splitlines()]


def steps_of(session):
    return sorted(int(p.name) for p in (session.out / "checkpoints").iterdir())


def one_by_one(tiny, params):
    """Loss, mean log-probability and perplexity, each item alone."""
    objective = jax.jit(sft_objective(tiny, "sequence_sum"))
    found = [objective(params, pack([one], length=8)) for one in HELD_OUT]
    means = {"loss": np.mean([float(loss) for loss, _ in found])}
    logps = [float(metrics["logps/chosen"]) for _, metrics in found]
    nll = np.mean([float(metrics["nll/chosen"]) for _, metrics in found])
    means |= {"nll/chosen": nll, "ppl/chosen": np.exp(nll)}
    return means | {"logps/chosen": np.mean(logps)}


@pytest.mark.parametrize(
    ("rhythm", "expected"),
    [
        (EPOCHS, [(3, 1), (5, 2)]),
        (ValidationConfig(every_epochs=2), [(5, 2)]),
        (ValidationConfig(every_steps=2), [(2, 0), (4, 1), (5, 2)]),
    ],
)
def test_every_evaluation_is_the_mean_over_single_items(
    run, session, tiny, rhythm, expected
):
    where = session()
    run(where, rhythm=rhythm, checkpoint=CheckpointConfig(every_steps=1, keep=9))
    lines = lines_of(where)
    assert [(line["step"], line["epoch"]) for line in lines] == expected
    folder = store.open_folder(where.out)
    for line in lines:
        params = store.restore_params(folder, line["step"])
        means = one_by_one(tiny, params)
        assert {name: line[name] for name in means} == pytest.approx(means, rel=2e-6)


@pytest.mark.parametrize("layout", ["packed", "padded"])
def test_eight_devices_find_what_one_finds(run, session, eight_devices, layout):
    alone, together = session("alone"), session("together", mesh=eight_devices)
    for where in (alone, together):
        run(where, layout=layout, max_steps=1)
    for one, other in zip(lines_of(alone), lines_of(together), strict=True):
        assert other == pytest.approx(one, rel=1e-5)


def assert_same_choice(one, other):
    for name in ("validation.jsonl", "best.json", "metrics.jsonl"):
        assert (one.out / name).read_bytes() == (other.out / name).read_bytes()
    assert steps_of(one) == steps_of(other)
    ours, theirs = (load_weights(run.out) for run in (one, other))
    assert ours.step == theirs.step
    jax.tree.map(np.testing.assert_array_equal, ours.params, theirs.params)


@pytest.mark.parametrize("step", [2, 3])
def test_a_run_that_is_stopped_and_resumed_finds_and_chooses_the_same(
    run, session, step
):
    rarely = CheckpointConfig(every_epochs=1, keep=1)
    run(session("whole"), checkpoint=rarely)
    with pytest.raises(PreemptedError):
        run(session("broken", stop=lambda done: done == step), checkpoint=rarely)
    assert not (session("broken").out / "best.json").exists()
    run(session("broken"), checkpoint=rarely)
    assert_same_choice(session("whole"), session("broken"))


def test_a_run_killed_between_an_evaluation_and_its_checkpoint_finds_the_same(
    run, session
):
    class Killed(BaseException):
        pass

    def kill(text):
        if "validation loss" in text:
            raise Killed

    run(session("whole"))
    with pytest.raises(Killed):
        run(session("broken", say=kill))
    assert [line["step"] for line in lines_of(session("broken"))] == [3]
    assert steps_of(session("broken")) == [2]
    run(session("broken"))
    assert_same_choice(session("whole"), session("broken"))


def test_the_best_step_stays_and_is_the_model_though_later_ones_are_worse(
    run, session, tiny
):
    news = []
    where = session(say=news.append)
    run(
        where,
        rhythm=ValidationConfig(every_steps=1),
        checkpoint=CheckpointConfig(keep=1),
        optimizer=AdamWConfig(learning_rate=0.05),
        epochs=6,
    )
    losses = {line["step"]: line["loss"] for line in lines_of(where)}
    best, last = min(losses, key=losses.__getitem__), max(losses)
    assert 1 < best < last == 15
    assert losses[last] > losses[best] + 0.1
    assert steps_of(where) == [best, last]
    weights = load_weights(where.out)
    assert weights.step == best
    means = one_by_one(tiny, weights.params)
    assert means["loss"] == pytest.approx(losses[best], rel=2e-6)
    assert load_weights(where.out, step=last).step == last
    chosen = read_selection(where.out)
    assert chosen is not None
    assert {c.step: c.score for c in chosen.candidates} == losses
    assert chosen.num_items == 11
    told = [text for text in news if "validation loss" in text]
    assert len(told) == last
    assert told[0].startswith("step 1, epoch 0: validation loss")
    assert news[-1] == f"selected {chosen.told}"


def test_without_a_choice_the_newest_step_is_the_model(run, session):
    where = session()
    run(where, select=None, max_steps=3)
    assert [line["step"] for line in lines_of(where)] == [3]
    assert not (where.out / "best.json").exists()
    assert load_weights(where.out).step == 3


class Growing:
    """Two shards of one batch each, which are sealed when somebody waits."""

    def __init__(self, *, stalls_at=None):
        self._known, self._final, self._stalls_at = 1, False, stalls_at

    def num_shards(self):
        return (self._known, self._final)

    def num_rows(self, shard):
        return 8

    def rows(self, shard):
        return EXAMPLES[8 * shard : 8 * shard + 8]

    def prefix_hash(self, num_shards):
        return str(num_shards)

    def wait(self):
        if self._known == self._stalls_at:
            raise PreemptedError("labeling has not sealed more")
        self._known, self._final = min(2, self._known + 1), self._known == 2


def finished():
    source = Growing()
    source.wait()
    source.wait()
    return source


def test_the_end_of_an_epoch_is_the_same_whenever_it_becomes_known(run, session):
    """Each epoch ends with a batch, so only waiting tells that it has ended."""
    saves = {"checkpoint": CheckpointConfig(every_epochs=1, keep=9)}
    run(session("after"), source=finished(), **saves)
    run(session("beside"), source=Growing(), **saves)
    for name in ("stalled in", "stalled at the end of"):
        stalls_at = 1 + (name != "stalled in")
        with pytest.raises(PreemptedError):
            run(session(name), source=Growing(stalls_at=stalls_at), **saves)
        assert steps_of(session(name))[-1] == stalls_at
        run(session(name), source=finished(), **saves)
    lines = lines_of(session("after"))
    assert [(line["step"], line["epoch"]) for line in lines] == [(2, 1), (4, 2)]
    assert_same_choice(session("after"), session("beside"))
    assert_same_choice(session("after"), session("stalled at the end of"))
    text = (session("stalled in").out / "validation.jsonl").read_bytes()
    assert text == (session("after").out / "validation.jsonl").read_bytes()


def test_a_validation_loss_that_is_not_finite_ends_the_run(run, session, tiny):
    def broken(params, rows):
        loss, metrics = sft_objective(tiny, "sequence_sum")(params, rows)
        return loss * np.nan, metrics

    validation = ValidationSet(
        records=HELD_OUT, loss_fn=broken, config=EPOCHS, select=None, data={}
    )
    with pytest.raises(InternalError, match="validation loss is nan after step 3"):
        run(session(), validation=validation)


def test_means_are_pooled_over_items_and_accuracies_as_counts():
    counts = [8, 8, 3]
    pool = partial(pooled_mean, counts=counts)
    assert pool("loss", [1.0, 2.0, 4.0]) == pytest.approx(36 / 19)
    name, third = "rewards/accuracies", float(np.float32(1 / 3))
    assert pool(name, [4 / 8, 6 / 8, 1.0]) == pool(name, [5 / 8, 7 / 8, third])


def test_trackers_get_every_evaluation(run, session):
    where = session(trackers=("tensorboard",))
    run(where)
    (events,) = (where.out / "tensorboard").iterdir()
    assert events.read_bytes().count(b"validation/loss") == len(lines_of(where))
