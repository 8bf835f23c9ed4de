"""Tests of `rlaif_jax.checkpoint.store`."""

import os
import resource
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from jax.sharding import NamedSharding, PartitionSpec

from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import CorruptDataError, InternalError, UsageError
from rlaif_jax.models.config import TransformerConfig
from rlaif_jax.sharding.mesh import build_mesh

CONFIG = TransformerConfig(
    family="llama",
    vocab_size=16,
    embed=8,
    num_layers=1,
    kv_heads=2,
    q_groups=1,
    head_dim=4,
    ffw=8,
    max_positions=32,
    rope_theta=10000.0,
    norm_eps=1e-5,
    eos_token_id=1,
)
ROOT = Path(__file__).parents[2]


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "tokenizer.json").write_text("{}")
    return store.create_folder(tmp_path / "run", CONFIG, tmp_path)


def sharding(fsdp, *spec):
    mesh = build_mesh(MeshConfig(fsdp=fsdp), jax.devices()[:fsdp])
    return NamedSharding(mesh, PartitionSpec(*spec))


def some_state(fsdp=8, seed=0):
    random = np.random.default_rng(seed)
    weights = random.normal(size=(16, 4)).astype(np.float32)
    params = {
        "layer": {"w": jax.device_put(weights, sharding(fsdp, "fsdp"))},
        "scale": jnp.arange(3, dtype=jnp.bfloat16),
    }
    return {"params": params, "optimizer": optax.adamw(1e-3).init(params)}


def abstract(state, fsdp=8):
    def shape_of(leaf):
        split = isinstance(leaf.sharding, NamedSharding)
        place = sharding(fsdp, *(["fsdp"] if split else []))
        return jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=place)

    return jax.tree.map(shape_of, state)


def require_equal(left, right):
    assert jax.tree.structure(left) == jax.tree.structure(right)
    for a, b in zip(jax.tree.leaves(left), jax.tree.leaves(right), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(np.asarray(a), np.asarray(b))


def flip_a_byte_of_the_weights(folder, step):
    files = (folder.checkpoints / str(step) / "params").rglob("d/*")
    path = max(files, key=lambda path: path.stat().st_size)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def test_a_state_comes_back_with_its_position(folder):
    state, position = some_state(), {"shard": 2, "row": 5, "hash": "f0"}
    store.save(folder, 7, state, position, keep=2)
    restored = store.restore_state(folder, abstract(state))
    require_equal(restored.state, state)
    assert (restored.position, restored.step) == (position, 7)


@pytest.mark.parametrize("fsdp", [8, 2, 1])
def test_a_state_comes_back_on_another_number_of_devices(folder, fsdp):
    state = some_state(fsdp=8)
    store.save(folder, 1, state, {}, keep=1)
    restored = store.restore_state(folder, abstract(state, fsdp)).state
    require_equal(restored, state)
    assert restored["params"]["layer"]["w"].sharding == sharding(fsdp, "fsdp")


def test_a_state_comes_back_under_an_active_mesh(folder):
    state = some_state()
    store.save(folder, 1, state, {}, keep=1)
    with jax.set_mesh(sharding(8).mesh):
        restored = store.restore_state(folder, abstract(state))
    require_equal(restored.state, state)


def test_params_alone_go_to_one_device_or_to_their_shardings(folder):
    params = some_state()["params"]
    store.save(folder, 3, some_state(), {}, keep=1)
    single = store.restore_params(folder)
    require_equal(single, params)
    assert len(single["layer"]["w"].sharding.device_set) == 1
    wanted = {"layer": {"w": sharding(4, "fsdp")}, "scale": sharding(4)}
    placed = store.restore_params(folder, 3, wanted)
    require_equal(placed, params)
    assert placed["layer"]["w"].addressable_data(0).shape == (4, 4)


def test_the_memory_of_what_was_restored_can_be_reused(folder):
    # as Orbax returns it, JAX calls it donated and yet allocates it again
    saved = {"split": jax.device_put(jnp.ones((2**16, 4)), sharding(8, "fsdp"))}
    saved["whole"] = jnp.ones((2**16, 4))
    store.save(folder, 1, {"params": saved}, {}, keep=1)
    wanted = abstract({"params": saved})
    double = jax.jit(lambda tree: jax.tree.map(lambda x: 2 * x, tree), donate_argnums=0)
    for params in (
        store.restore_state(folder, wanted).state["params"],
        store.restore_params(folder),
    ):
        before = addresses(params)
        assert addresses(double(params)) == before


def addresses(tree):
    return [
        shard.data.unsafe_buffer_pointer()
        for leaf in jax.tree.leaves(tree)
        for shard in leaf.addressable_shards
    ]


def test_only_the_newest_steps_are_kept(folder):
    for step in (1, 2, 10):
        store.save(folder, step, some_state(), {}, keep=2)
    assert sorted(p.name for p in folder.checkpoints.iterdir()) == ["10", "2"]
    assert store.latest_step(folder) == 10


def test_a_flipped_byte_sends_the_restore_to_an_older_step(folder, caplog):
    for step in (1, 2):
        store.save(folder, step, some_state(seed=step), {"row": step}, keep=2)
    flip_a_byte_of_the_weights(folder, 2)
    restored = store.restore_state(folder, abstract(some_state()))
    require_equal(restored.state, some_state(seed=1))
    assert (restored.position, restored.step) == ({"row": 1}, 1)
    assert (folder.checkpoints / "corrupt-2").is_dir()
    assert "damaged checkpoint" in caplog.text
    store.save(folder, 2, some_state(seed=2), {"row": 2}, keep=2)
    require_equal(store.restore_params(folder), some_state(seed=2)["params"])


def test_no_intact_step_is_corrupt_data(folder):
    store.save(folder, 1, some_state(), {}, keep=1)
    flip_a_byte_of_the_weights(folder, 1)
    with pytest.raises(CorruptDataError, match="every step"):
        store.restore_params(folder)


def test_saving_a_step_again_changes_nothing(folder):
    store.save(folder, 1, some_state(seed=1), {"row": 4}, keep=1)
    store.save(folder, 1, some_state(seed=2), {"row": 4}, keep=1)
    require_equal(store.restore_params(folder), some_state(seed=1)["params"])
    with pytest.raises(UsageError, match="saved by another run"):
        store.save(folder, 1, some_state(), {"row": 5}, keep=1)


def test_a_checkpoint_of_another_model_is_refused_by_name(folder):
    state = some_state()
    store.save(folder, 1, state, {}, keep=1)
    wanted = abstract(state)
    with pytest.raises(UsageError, match="holds no ledger, only"):
        store.restore_state(folder, {"ledger": wanted["params"]})
    other = {**wanted["params"], "scale": jax.ShapeDtypeStruct((3,), jnp.float32)}
    with pytest.raises(UsageError, match=r"scale as bfloat16\[3\], .* float32\[3\]"):
        store.restore_state(folder, {"params": other})
    with pytest.raises(UsageError, match=r"no extra"):
        store.restore_params(folder, 1, {**wanted["params"], "extra": sharding(1)})
    with pytest.raises(UsageError, match=r"does not divide dimension 0 of .*scale"):
        on_two = {"layer": {"w": sharding(2)}, "scale": sharding(2, "fsdp")}
        store.restore_params(folder, 1, on_two)


def test_a_failed_save_leaves_the_older_step_and_no_litter(folder):
    store.save(folder, 1, some_state(), {}, keep=1)
    random = np.random.default_rng(0)
    large = {"params": {"w": jnp.asarray(random.normal(size=(512, 1024)))}}
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2**18, hard))  # as a full disk would
    try:
        with pytest.raises(
            InternalError, match=r"cannot save .*/2, older .* File too large"
        ):
            store.save(folder, 2, large, {}, keep=1)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert [p.name for p in folder.checkpoints.iterdir()] == ["1"]
    require_equal(store.restore_params(folder), some_state()["params"])
    store.save(folder, 2, large, {}, keep=1)  # space is back
    require_equal(store.restore_params(folder), large["params"])


SAVE_UNTIL_KILLED = """
import sys
from pathlib import Path
import numpy as np
from rlaif_jax.checkpoint import integrity, store
folder = store.open_folder(Path(sys.argv[1]))
if sys.argv[2] == "before the seal":
    import os, signal
    def seal(path, real=integrity.seal):
        os.kill(os.getpid(), signal.SIGKILL) if path.name == "3" else real(path)
    integrity.seal = seal
random = np.random.default_rng(0)
for step in range(1, 10_000):
    weights = random.normal(size=(256, 1024)).astype(np.float32)
    weights[0, 0] = step
    store.save(folder, step, {"params": {"w": weights}}, {"row": step}, keep=2)
"""


@pytest.mark.parametrize("moment", ["while writing", "before the seal"])
def test_a_killed_save_leaves_an_older_step_to_restore(folder, moment):
    child = subprocess.Popen(
        [sys.executable, "-c", SAVE_UNTIL_KILLED, str(folder.path), moment], cwd=ROOT
    )
    if moment == "while writing":
        while (store.latest_step(folder) or 0) < 2 and child.poll() is None:
            time.sleep(0.01)
        while not writing(folder) and child.poll() is None:
            time.sleep(0.001)
        os.kill(child.pid, signal.SIGKILL)
    assert child.wait(60) == -signal.SIGKILL
    latest = store.latest_step(folder)
    assert latest is not None and latest >= 2
    assert store.restore_params(folder)["w"][0, 0] == latest
    store.save(folder, latest + 1, some_state(), {}, keep=1)
    names = [path.name for path in folder.checkpoints.iterdir()]
    assert names == [str(latest + 1)]


def writing(folder):
    return any(".orbax-checkpoint-tmp" in p.name for p in folder.checkpoints.iterdir())


TWO_PROCESSES = """
import sys
from pathlib import Path
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from rlaif_jax.checkpoint import store
from rlaif_jax.config_parts import MeshConfig
from rlaif_jax.errors import CommandError
from rlaif_jax.runtime import distributed
from rlaif_jax.sharding.mesh import build_mesh
from rlaif_jax.sharding.placement import host_rows, place_batch, place_params

distributed.start()
assert jax.process_count() == 2 and jax.device_count() == 4
mesh = build_mesh(MeshConfig(data=2))
batch = np.arange(24).reshape(8, 3)
placed = place_batch(batch[host_rows(8, jax.process_index(), 2)], mesh)
assert int(jax.jit(lambda x: (x * batch).sum())(placed)) == int((batch * batch).sum())

run, tokenizer = Path(sys.argv[1]), Path(sys.argv[2])
config = store.open_folder(Path(sys.argv[3])).config
folder = store.create_folder(run, config, tokenizer)
values = np.arange(16.0, dtype=np.float32).reshape(8, 2)
params = place_params({"w": values}, {"w": ("embed", None)}, mesh)
for step in (1, 2, 3):
    state = {"params": jax.tree.map(lambda x: x + step, params)}
    store.save(folder, step, state, {"row": step}, keep=2)
if distributed.is_main():  # before the others look, because of the broadcast below
    path = max((folder.checkpoints / "3").rglob("d/*"), key=lambda p: p.stat().st_size)
    path.write_bytes(path.read_bytes()[:-1] + b"?")
assert distributed.broadcast({"damaged": 3}) == {"damaged": 3}
abstract = jax.tree.map(
    lambda x: jax.ShapeDtypeStruct(x.shape, x.dtype, sharding=x.sharding), params
)
restored = store.restore_state(folder, {"params": abstract})
assert restored.step == 2 and restored.position == {"row": 2}
expected = place_params({"w": values + 2}, {"w": ("embed", None)}, mesh)
same = jax.jit(lambda a, b: (a["w"] == b["w"]).all())
assert bool(same(restored.state["params"], expected))
try:
    store.create_folder(run, config.replace(ffw=99), tokenizer)
except CommandError as error:
    print("refused", error.exit_code, flush=True)
distributed.broadcast({"done": True})
"""


def test_two_processes_save_and_restore_one_checkpoint(folder, tmp_path, local_pod):
    arguments = [tmp_path / "pod", tmp_path, folder.path]
    for result in local_pod(TWO_PROCESSES, arguments):
        assert result.returncode == 0, result.stderr[-2000:]
        assert "refused 2" in result.stdout
    names = {path.name for path in (tmp_path / "pod" / "checkpoints").iterdir()}
    assert names == {"2", "corrupt-3"}
    single = store.restore_params(store.open_folder(tmp_path / "pod"))["w"]
    np.testing.assert_array_equal(single[0], [2.0, 3.0])
