"""Tests of `rlaif_jax.study.bandit`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.study.bandit import (
    NUM_ACTIONS,
    bell,
    draw_bandit,
    expected_reward,
    imitation_loss,
    policy_sd,
    reward_loss,
    run_bandit,
    win_counts,
)


@pytest.fixture(scope="module")
def result():
    return run_bandit("notebook", (0, 1, 2, 3, 4), beta=0.1)


@pytest.mark.parametrize(
    ("policy", "expected", "sd"),
    [
        ("student", 40.02, 12.21),
        ("teacher", 78.54, 10.93),
        ("rlaif", 51.84, 3.18),
        ("sft", 70.71, 22.06),
    ],
)
def test_expected_rewards_and_spreads_are_those_of_the_paper(
    result, policy, expected, sd
):
    summary = result.to_json()

    assert summary["expected_reward"][policy] == pytest.approx(expected, abs=0.3)
    assert summary["policy_sd"][policy] == pytest.approx(sd, abs=0.2)


def test_the_learned_reward_peaks_where_the_student_still_samples(result):
    learned = result.learned_reward.mean(axis=0)

    assert 50 <= learned.argmax() <= 54
    assert 25 <= learned.argmin() <= 30
    assert learned.max() - learned.min() == pytest.approx(1.46, abs=0.05)
    assert result.sft.min() == pytest.approx(0.00286, abs=1e-5)


def test_every_policy_is_a_distribution(result):
    for policy in result.policies.values():
        assert policy.shape == (5, NUM_ACTIONS)
        np.testing.assert_allclose(policy.sum(axis=1), 1.0, atol=1e-5)


def test_a_seed_gives_the_same_run_alone_as_among_others(result):
    alone = run_bandit("notebook", (3,), beta=0.1)

    np.testing.assert_allclose(alone.rlaif[0], result.rlaif[3], rtol=1e-4)
    np.testing.assert_allclose(alone.sft[0], result.sft[3], rtol=1e-4)


def test_a_large_beta_leaves_the_student_as_it_was():
    result = run_bandit("notebook", (0,), beta=1e6)

    np.testing.assert_allclose(result.rlaif[0], result.student, atol=1e-6)


def test_win_counts_ignore_order_and_equals():
    pairs = jnp.array([[3, 1], [1, 3], [5, 5], [0, 2]])

    counts = win_counts(pairs)

    assert counts[3, 1] == 2.0
    assert counts[2, 0] == 1.0
    assert counts.sum() == 3.0


def test_reward_loss_is_the_mean_over_pairs_without_the_constant_of_equals():
    pairs = jnp.array([[1, 0], [2, 2]])
    reward = jnp.zeros(NUM_ACTIONS).at[1].set(2.0)

    loss = reward_loss(reward, win_counts(pairs), num_pairs=2)

    # -log sigmoid(2) / 2: the second pair would add log(2) / 2 whatever the reward
    assert loss == pytest.approx(np.log1p(np.exp(-2.0)) / 2)


def test_counts_give_the_gradient_of_the_pairs_one_by_one():
    pairs = jax.random.randint(jax.random.key(0), (50, 2), 0, NUM_ACTIONS)
    reward = jax.random.normal(jax.random.key(1), (NUM_ACTIONS,))

    def pairwise(reward):
        first, second = reward[pairs[:, 0]], reward[pairs[:, 1]]
        sign = jnp.where(pairs[:, 0] > pairs[:, 1], 1.0, -1.0)
        return -jax.nn.log_sigmoid(sign * (first - second)).mean()

    counted = jax.grad(reward_loss)(reward, win_counts(pairs), 50)

    np.testing.assert_allclose(counted, jax.grad(pairwise)(reward), atol=1e-6)


def test_imitation_gradient_is_policy_minus_frequencies():
    frequencies = bell(80.0)

    gradient = jax.grad(imitation_loss)(jnp.zeros(NUM_ACTIONS), frequencies)

    np.testing.assert_allclose(gradient, 0.01 - frequencies, atol=1e-6)


def test_moments_of_a_policy_on_two_actions():
    policy = np.zeros((1, NUM_ACTIONS))
    policy[0, [10, 30]] = 0.5

    assert expected_reward(policy) == 20.0
    assert policy_sd(policy) == 10.0


def test_the_figure_is_written_with_every_line_named(result, tmp_path):
    draw_bandit(result, tmp_path / "bandit.png")

    assert (tmp_path / "bandit.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("sizes", "seeds", "named"), [("huge", (0,), "huge"), ("paper", (), "seed")]
)
def test_unknown_sizes_and_no_seeds_are_refused(sizes, seeds, named):
    with pytest.raises(UsageError, match=named):
        run_bandit(sizes, seeds, beta=0.1)
