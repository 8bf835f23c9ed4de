"""Tests of `rlaif_jax.models.attending.reading`: the whole matrix, cell by cell."""

from functools import cache, partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.models import forward, hidden_states, init_cache, init_params, preset
from rlaif_jax.models.attending import blocks, cudnn, dense, reading, splash
from rlaif_jax.models.attending.places import Places
from rlaif_jax.models.attending.rule import Rule
from rlaif_jax.models.attending.support import FEATURES, able, require

KINDS = ("padding", "left_padding", "packed")
READERS = {
    "xla": dense.read,
    "blocks": blocks.read,
    "cudnn": partial(cudnn.read, implementation="xla"),  # what it is told, on a CPU
    "splash": partial(splash.read, interpret=True),
}
MODULES = {"xla": dense, "blocks": blocks, "cudnn": cudnn, "splash": splash}


@pytest.fixture(scope="module")
def computed(rows_of, heads_of):
    """Values and gradients of a backend's rows, each computed once."""
    plain = rows_of([100], [-20, 100], [30, 41, 2, 33])  # in the order of KINDS
    shared = rows_of([(30, 20, 25), (12, 1, 9)], [(64, 16, 40)], has_branches=True)

    @cache
    def compute(backend, rule, groups, is_shared):
        places = shared if is_shared else plain
        heads = heads_of(len(places.segments), groups=groups)
        is_text = (places.segments > 0)[:, :, None, None, None]
        wanted = jax.random.normal(jax.random.key(9), heads.q.shape) * is_text

        @jax.jit
        def run(heads):
            told = MODULES[backend].prepare(places, rule)
            read, pull = jax.vjp(lambda h: READERS[backend](h, told, rule), heads)
            return jnp.where(is_text, read, 0.0), *pull(wanted)[0]

        return [np.asarray(part) for part in run(heads)]

    return compute


@pytest.mark.parametrize("kind", [*KINDS, "shared_prefix"])
@pytest.mark.parametrize("groups", [1, 2], ids=["", "grouped"])
@pytest.mark.parametrize("softcap", [None, 2.0], ids=["", "softcap"])
@pytest.mark.parametrize("window", [None, 20], ids=["", "window"])
@pytest.mark.parametrize("backend", ["blocks", "cudnn", "splash"])
def test_every_cell_equals_the_dense_one_or_is_refused(
    computed, backend, window, softcap, groups, kind
):
    asked = {"window": window, "softcap": softcap, "grouped": groups > 1, kind: True}
    needs = frozenset(name for name, is_asked in asked.items() if is_asked)
    if backend not in able(needs):
        with pytest.raises(UsageError, match=f"attention={backend} cannot do"):
            require(backend, needs)
        return
    rule = Rule(0.25, softcap, window)
    is_shared = kind == "shared_prefix"
    expected = computed("xla", rule, groups, is_shared)
    actual = computed(backend, rule, groups, is_shared)
    rows = slice(None) if is_shared else KINDS.index(kind)
    for a, e in zip(actual, expected, strict=True):
        np.testing.assert_allclose(a[rows], e[rows], rtol=0, atol=2e-5)


def test_the_cells_are_those_of_the_matrix():
    # the others are types, widths, decoding, and rows on devices of test_split
    tested = {"window", "softcap", "grouped", *KINDS, "shared_prefix"}
    assert set(FEATURES) - tested == {"float32", "wide_heads", "cache", "sequence"}


def test_a_row_that_cudnn_cannot_tell_apart_is_nan_not_wrong(computed):
    read = computed("cudnn", Rule(0.25, None, None), 1, False)[0]
    assert np.isfinite(read).all(axis=(1, 2, 3, 4)).tolist() == [True, False, False]


SMALL = {"vocab_size": 64, "embed": 32, "ffw": 48, "kv_heads": 2, "head_dim": 8}
FAMILIES = {
    "llama": preset("llama-tiny"),
    "window": preset("llama-tiny").replace(sliding_window=5),
    "gemma": preset("gemma-2-2b").replace(
        **SMALL, num_layers=2, sliding_window=5, attention_softcap=2.0
    ),
    "scanned": preset("gemma-2-2b").replace(
        **SMALL, num_layers=6, sliding_window=5, attention_softcap=2.0, remat="full"
    ),
}
PROMPT, CHOSEN, REJECTED = [7, 8, 9, 10, 11, 12], [13, 14, 15, 16], [17, 18, 19]


@pytest.mark.parametrize(
    ("family", "is_shared"),
    [("window", False), ("scanned", False), ("llama", True), ("scanned", True)],
)
def test_a_whole_model_has_the_dense_logits_and_gradients(family, is_shared, rows_of):
    config = FAMILIES[family]
    params = init_params(config, jax.random.key(0))
    if is_shared:
        places = rows_of([(6, 4, 3), (2, 1, 4)], length=24, has_branches=True)
    else:
        places = rows_of([9, 1, 8], length=24)
    ids = jax.random.randint(jax.random.key(1), (1, 24), 0, config.vocab_size)
    weights = jax.random.normal(jax.random.key(2), (1, 24, config.embed))
    weights = jnp.where((places.segments > 0)[..., None], weights, 0.0)

    def total(params, attention):
        changed = config.replace(attention=attention)
        states = hidden_states(
            changed, params, ids, places[0], places[1], None, places.branches
        )
        return jnp.sum(states.hidden * weights), states.hidden * weights

    run = jax.jit(jax.value_and_grad(total, has_aux=True), static_argnums=1)
    (_, expected), dense_grads = run(params, "xla")
    (_, actual), grads = run(params, "blocks")
    np.testing.assert_allclose(actual, expected, atol=2e-5)
    close = partial(np.testing.assert_allclose, rtol=1e-4, atol=1e-4)
    jax.tree.map(close, grads, dense_grads)


@pytest.mark.parametrize("attention", ["xla", "blocks"])
@pytest.mark.parametrize("family", FAMILIES)
def test_a_shared_prompt_is_as_good_as_two_rows(family, attention, rows_of):
    config = FAMILIES[family].replace(attention=attention)
    params = init_params(config, jax.random.key(0))
    places = rows_of([3, (6, 4, 3)], length=18, has_branches=True)
    ids = jnp.array([[5, 6, 7, *PROMPT, *CHOSEN, *REJECTED, 0, 0]])
    logits = forward(
        config,
        params,
        ids,
        positions=places.positions,
        segment_ids=places.segments,
        branches=places.branches,
    )[0]
    logps = jax.nn.log_softmax(logits)
    # a completion's first token is predicted by the prompt's last, at 3 + 6 - 1
    chosen = logps[jnp.arange(8, 12), jnp.array(CHOSEN)]
    rejected = logps[jnp.array([8, 13, 14]), jnp.array(REJECTED)]
    for side, actual in ((CHOSEN, chosen), (REJECTED, rejected)):
        alone = forward(config, params, jnp.array([PROMPT + side]))[0]
        alone = jax.nn.log_softmax(alone)[5 : 5 + len(side)]
        expected = alone[jnp.arange(len(side)), jnp.array(side)]
        np.testing.assert_allclose(actual, expected, atol=1e-5)


def test_what_a_model_is_asked_and_cannot_do_is_refused(rows_of):
    config = preset("llama-tiny").replace(compute_dtype="bfloat16")
    params = init_params(config, jax.random.key(0))
    places = rows_of([(3, 2, 2)], length=8, has_branches=True)
    ids = jnp.ones((1, 8), int)
    forks = {"positions": places[0], "segment_ids": places[1], "branches": places[2]}
    with pytest.raises(UsageError, match="cudnn cannot do pairs that share"):
        forward(config.replace(attention="cudnn"), params, ids, **forks)
    windowed = config.replace(attention="splash", sliding_window=4)
    with pytest.raises(UsageError, match="a sliding window with pairs"):
        forward(windowed, params, ids, **forks)
    slots = init_cache(config, 1, 8, "bfloat16")
    for name in ("blocks", "splash"):
        with pytest.raises(UsageError, match=f"{name} cannot do decoding"):
            forward(config.replace(attention=name), params, ids, cache=slots)
    with pytest.raises(UsageError, match="cudnn cannot do compute_dtype float32"):
        wide = config.replace(attention="cudnn", compute_dtype="float32")
        forward(wide, params, ids)


def test_static_windows_are_chosen_layer_by_layer(monkeypatch):
    # where a window is part of the program, a layer takes one of two
    config = preset("gemma-2-2b").replace(
        **SMALL, num_layers=2, sliding_window=3, attention_softcap=2.0
    )
    params = init_params(config, jax.random.key(0))
    ids = jax.random.randint(jax.random.key(1), (1, 8), 0, 64)
    expected = forward(config, params, ids)
    here = reading._BACKENDS["splash"]._replace(read=READERS["splash"])
    monkeypatch.setitem(reading._BACKENDS, "splash", here)
    actual = forward(config.replace(attention="splash"), params, ids)
    np.testing.assert_allclose(actual, expected, atol=1e-4)


def test_the_dense_mask_of_a_cache_is_over_its_slots():
    queries = Places(jnp.array([[2]]), jnp.array([[1]]))
    keys = Places(jnp.array([[0, 1, 2, 0]]), jnp.array([[1, 1, 1, 0]]))
    mask = dense.prepare(queries, Rule(1.0, None, 2), keys)
    assert mask[0, 0].tolist() == [False, True, True, False]
