"""Tests of `rlaif_jax.study.bandit`."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.config_bandit import NUM_ACTIONS, BanditConfig
from rlaif_jax.study.bandit import (
    bandit_sizes,
    bell,
    expected_reward,
    imitation_loss,
    policy_sd,
    reward_loss,
    run_bandit,
    win_rate,
    win_shares,
)

SMALL = BanditConfig(num_pairs=500, num_demonstrations=400, reward_steps=9, sft_steps=9)


@pytest.fixture(scope="module")
def result():
    return run_bandit(BanditConfig())


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

    assert summary["expected_reward"][policy] == pytest.approx(expected, abs=0.2)
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


def test_one_of_ten_seeds_is_the_run_of_that_seed_alone():
    ten = run_bandit(SMALL.model_copy(update={"seeds": tuple(range(10))}))
    alone = run_bandit(SMALL.model_copy(update={"seeds": (3,)}))

    assert ten.rlaif.shape == ten.sft.shape == (10, NUM_ACTIONS)
    assert len(np.unique(ten.learned_reward, axis=0)) == 10
    np.testing.assert_allclose(alone.rlaif[0], ten.rlaif[3], rtol=1e-4)
    np.testing.assert_allclose(alone.sft[0], ten.sft[3], rtol=1e-4)


def test_a_large_beta_leaves_the_student_as_it_was():
    result = run_bandit(SMALL.model_copy(update={"beta": 1e6}))

    np.testing.assert_allclose(result.rlaif[0], result.student, atol=1e-6)


def test_means_and_widths_are_those_of_the_config():
    knobs = {"student_mean": 60.0, "student_sd": 5.0, "teacher_mean": 50.0}
    result = run_bandit(SMALL.model_copy(update=knobs | {"teacher_sd": 8.0}))

    # far from both ends, nothing is cut
    for name, mean, sd in (("student", 60.0, 5.0), ("teacher", 50.0, 8.0)):
        policy = result.policies[name]
        np.testing.assert_allclose(expected_reward(policy), mean, atol=1e-3)
        np.testing.assert_allclose(policy_sd(policy), sd, atol=1e-3)


def test_sizes_are_the_named_ones_or_the_given():
    assert bandit_sizes(BanditConfig()) == (250_000, 250_000)
    assert bandit_sizes(BanditConfig(sizes="paper")) == (500_000, 500_000)
    assert bandit_sizes(BanditConfig(sizes="paper", num_pairs=7)) == (7, 500_000)


@pytest.mark.slow
def test_the_sizes_of_the_text_give_the_same_rewards():
    rewards = run_bandit(BanditConfig(sizes="paper")).to_json()["expected_reward"]

    assert rewards["rlaif"] == pytest.approx(51.83, abs=0.2)
    assert rewards["sft"] == pytest.approx(70.68, abs=0.2)


@pytest.mark.slow
def test_ten_times_the_steps_bring_both_nearer_to_their_best():
    config = BanditConfig(reward_steps=75_000, sft_steps=150_000, seeds=(0, 1))
    rewards = run_bandit(config).to_json()["expected_reward"]

    assert rewards["rlaif"] == pytest.approx(56.8, abs=0.3)
    assert rewards["sft"] == pytest.approx(77.8, abs=0.2)


def test_win_rate_counts_an_equal_action_as_half():
    policy, other = np.zeros((1, NUM_ACTIONS)), np.zeros(NUM_ACTIONS)
    policy[0, [10, 30]] = 0.5
    other[[10, 20]] = 0.5

    # 10 draws with 10 and loses to 20: 1/4; 30 beats both: 1; half of each
    assert win_rate(policy, other) == pytest.approx(62.5)


def test_every_policy_wins_in_the_order_of_its_mean(result):
    wins = result.to_json()["win_rate_against_teacher"]

    assert wins["teacher"] == pytest.approx(50.0, abs=1e-3)
    assert wins["student"] < wins["rlaif"] < wins["sft"] < 50.0


def test_win_shares_ignore_order_and_equals():
    pairs = jnp.array([[3, 1], [1, 3], [5, 5], [0, 2]])

    shares = win_shares(pairs)

    assert shares[3, 1] == 0.5
    assert shares[2, 0] == 0.25
    assert shares.sum() == 0.75


def test_reward_loss_is_the_mean_over_pairs_without_the_constant_of_equals():
    pairs = jnp.array([[1, 0], [2, 2]])
    reward = jnp.zeros(NUM_ACTIONS).at[1].set(2.0)

    loss = reward_loss(reward, win_shares(pairs))

    # -log sigmoid(2) / 2: the second pair would add log(2) / 2 whatever the reward
    assert loss == pytest.approx(np.log1p(np.exp(-2.0)) / 2)


def test_counts_give_the_gradient_of_the_pairs_one_by_one():
    pairs = jax.random.randint(jax.random.key(0), (50, 2), 0, NUM_ACTIONS)
    reward = jax.random.normal(jax.random.key(1), (NUM_ACTIONS,))

    def pairwise(reward):
        first, second = reward[pairs[:, 0]], reward[pairs[:, 1]]
        sign = jnp.where(pairs[:, 0] > pairs[:, 1], 1.0, -1.0)
        return -jax.nn.log_sigmoid(sign * (first - second)).mean()

    counted = jax.grad(reward_loss)(reward, win_shares(pairs))

    np.testing.assert_allclose(counted, jax.grad(pairwise)(reward), atol=1e-6)


def test_imitation_gradient_is_policy_minus_frequencies():
    frequencies = bell(80.0, 12.0)

    gradient = jax.grad(imitation_loss)(jnp.zeros(NUM_ACTIONS), frequencies)

    np.testing.assert_allclose(gradient, 0.01 - frequencies, atol=1e-6)


def test_moments_of_a_policy_on_two_actions():
    policy = np.zeros((1, NUM_ACTIONS))
    policy[0, [10, 30]] = 0.5

    assert expected_reward(policy) == 20.0
    assert policy_sd(policy) == 10.0
