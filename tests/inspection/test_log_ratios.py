"""Tests of `rlaif_jax.inspection.log_ratios`."""

import jax
import jax.numpy as jnp
import numpy as np
import pyarrow.parquet as pq
import pytest

from rlaif_jax.config_losses import DpoLossConfig
from rlaif_jax.config_parts import MeshConfig, RowsConfig
from rlaif_jax.data.layout import build_layout
from rlaif_jax.data.packing import Pair
from rlaif_jax.errors import UsageError
from rlaif_jax.inspection.log_ratios import NamedPair, log_ratios
from rlaif_jax.inspection.scorer import Model, PairScorer
from rlaif_jax.losses import PairLogps, dpo_loss
from rlaif_jax.models import forward, init_params, logical_axes, preset
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import place_params
from rlaif_jax.training.dpo import DpoObjective, PairBatch
from rlaif_jax.training.preference_loss import PreferenceLoss
from rlaif_jax.training.scoring import completion_token_logps

CONFIG = preset("llama-tiny").replace(vocab_size=24)
PAIRS = {
    "a": Pair([5, 6, 7], [8, 9, 2], [4, 2]),
    "b": Pair([10], [11], [12, 13, 14, 2]),
    "c": Pair([3, 3], [4, 5, 2], [4, 6, 2]),
}
LAYOUT = build_layout(RowsConfig(), length=16)


NAMED = [NamedPair(name, pair) for name, pair in PAIRS.items()]


def scorer():
    mesh = build_mesh(MeshConfig(), jax.devices()[:1])
    return PairScorer(mesh=mesh, layout=LAYOUT, batch_size=2)


def model(seed, scorer):
    params = init_params(CONFIG, jax.random.key(seed))
    return Model(CONFIG, place_params(params, logical_axes(CONFIG), scorer.mesh))


@pytest.fixture(scope="module")
def ratios():
    engine = scorer()
    return log_ratios(
        model(1, engine), model(0, engine), NAMED, scorer=engine, beta=0.1, num_strips=2
    )


def slow_logps(seed, prompt, completion):
    """Each token of a completion, from one unpadded forward."""
    params = init_params(CONFIG, jax.random.key(seed))
    tokens = [*prompt, *completion]
    logits = forward(CONFIG, params, jnp.array([tokens]))[0]
    logps = np.asarray(jax.nn.log_softmax(logits))
    return [logps[t - 1, tokens[t]] for t in range(len(prompt), len(tokens))]


def test_every_figure_is_that_of_an_unpadded_forward(ratios):
    for row, (prompt, *sides) in enumerate(PAIRS.values()):
        for column, completion in enumerate(sides):
            policy = sum(slow_logps(1, prompt, completion))
            reference = sum(slow_logps(0, prompt, completion))
            assert ratios.policy[row, column] == pytest.approx(policy, rel=1e-5)
            assert ratios.reference[row, column] == pytest.approx(reference, rel=1e-5)
            assert ratios.num_tokens[row, column] == len(completion)


def test_rewards_and_margins_are_those_of_the_loss(ratios):
    terms = dpo_loss(
        PairLogps(*jnp.array(ratios.policy.T)),
        PairLogps(*jnp.array(ratios.reference.T)),
        beta=0.1,
    )

    np.testing.assert_allclose(ratios.rewards[:, 0], terms.chosen_reward, rtol=1e-5)
    np.testing.assert_allclose(ratios.rewards[:, 1], terms.rejected_reward, rtol=1e-5)
    np.testing.assert_allclose(ratios.margins, terms.margin, rtol=1e-5)


def test_a_strip_holds_the_completion_and_sums_to_its_log_ratio(ratios):
    assert len(ratios.strips) == 2
    for row, strips in enumerate(ratios.strips):
        pair = list(PAIRS.values())[row]
        for column, strip in enumerate(strips):
            assert list(strip.token_ids) == pair[1 + column]
            total = pytest.approx(ratios.log_ratios[row, column], abs=1e-4)
            assert strip.log_ratios.sum() == total
    first = np.subtract(slow_logps(1, *PAIRS["a"][:2]), slow_logps(0, *PAIRS["a"][:2]))
    np.testing.assert_allclose(ratios.strips[0].chosen.log_ratios, first, atol=1e-5)


def test_means_are_the_metrics_that_training_logs(ratios):
    rows = LAYOUT(list(PAIRS.values()))
    engine = scorer()
    before = model(0, engine)
    reference = jax.jit(completion_token_logps, static_argnums=0)(*before, rows)
    objective = DpoObjective(CONFIG, PreferenceLoss(DpoLossConfig(beta=0.1)))

    params = init_params(CONFIG, jax.random.key(1))
    _, logged = jax.jit(objective)(params, PairBatch(rows, reference))

    means = ratios.means()
    rewards = {f"rewards/{x}" for x in ("chosen", "rejected", "margins", "accuracies")}
    assert means.keys() == rewards | {"logps/chosen", "logps/rejected"}
    for name, value in means.items():
        assert value == pytest.approx(float(logged[name]), rel=1e-5, abs=1e-6)


def test_a_model_has_no_log_ratio_to_itself():
    engine = scorer()
    same = model(0, engine)

    ratios = log_ratios(same, same, NAMED, scorer=engine, beta=0.1)

    assert not ratios.log_ratios.any()
    assert not ratios.margins.any()


def test_the_parquet_file_holds_one_row_a_pair(ratios, tmp_path):
    ratios.write(tmp_path / "log_ratios.parquet")

    rows = pq.read_table(tmp_path / "log_ratios.parquet").to_pylist()
    assert [row["pair_id"] for row in rows] == ["a", "b", "c"]
    assert rows[0]["margin"] == pytest.approx(
        rows[0]["chosen_reward"] - rows[0]["rejected_reward"], abs=1e-6
    )
    assert rows[1]["rejected_num_tokens"] == 4
    assert rows[0]["chosen_token_ids"] == [8, 9, 2]
    assert len(rows[1]["rejected_token_log_ratios"]) == 4
    assert rows[2]["chosen_token_ids"] is None


def test_no_pairs_are_refused():
    engine = scorer()

    with pytest.raises(UsageError, match="no pairs"):
        log_ratios(model(1, engine), model(0, engine), [], scorer=engine, beta=0.1)
