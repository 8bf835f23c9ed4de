"""Wrong input ends with one line that names it, its exit code, and nothing lost."""

import json
import re
import shutil
import signal
import subprocess
import sys

import pytest

PROGRESS = re.compile(r"^\d\d:\d\d:\d\d ")  # not the error

HF_CONFIG = {
    "model_type": "llama",
    "architectures": ["LlamaForCausalLM"],
    "vocab_size": 64,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 2,
    "intermediate_size": 64,
    "max_position_embeddings": 64,
    "rms_norm_eps": 1e-5,
    "rope_theta": 10000.0,
    "hidden_act": "silu",
    "tie_word_embeddings": False,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "torch_dtype": "float32",
}
GARBAGE = """
from aiohttp import web

async def page(request):
    return web.Response(text="<html>maintenance</html>", content_type="text/html")

app = web.Application()
app.router.add_post("/{anything:.*}", page)
web.run_app(app, host="127.0.0.1", port=0, print=lambda text: print(text, flush=True))
"""


def contents(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def complaint(rlaif, tmp_path):
    """Runs to a bad end; gives its exit code and the one line that tells why."""

    def run(verb, document, *extra, **environment):
        before = contents(tmp_path)
        arguments = [verb, rlaif.config(document), "--out", tmp_path / "out", *extra]
        process = rlaif.start_raw(arguments, **environment)
        code = process.wait(timeout=120)
        lines = process.log.read_text().splitlines()
        told = [line for line in lines if not PROGRESS.match(line)]
        assert len(told) == 1, told
        assert told[0].startswith("rlaif-jax: ")
        after = contents(tmp_path)
        assert {path: after.get(path) for path in before} == before
        return code, told[0]

    return run


@pytest.fixture
def garbage():
    """A server that answers everything with a web page."""
    process = subprocess.Popen(
        [sys.executable, "-c", GARBAGE], stdout=subprocess.PIPE, text=True
    )
    url = re.search(r"http://\S+:\d+", process.stdout.readline()).group()
    yield url
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=20)


def test_a_config_that_is_not_there(rlaif, tmp_path):
    process = rlaif.start_raw(["sft", tmp_path / "none.yaml"])
    assert process.wait(timeout=60) == 2
    (line,) = process.log.read_text().splitlines()
    assert "none.yaml" in line
    assert "check the path" in line


def test_a_key_with_a_typing_error(complaint, study):
    code, line = complaint("sft", study.sft(batchsize=3))
    assert code == 2
    assert "'batchsize'" in line
    assert "did you mean 'batch_size'" in line


def test_a_missing_file(complaint, study, tmp_path):
    code, line = complaint("sft", study.sft(prompts=str(tmp_path / "gone.jsonl")))
    assert code == 2
    assert "gone.jsonl" in line


def test_an_unknown_preset(complaint, study):
    model = study.sft()["model"] | {"preset": "lab-tinny"}
    code, line = complaint("sft", study.sft(model=model))
    assert code == 2
    assert "'lab-tinny': did you mean 'lab-tiny'?" in line


def test_no_api_key(complaint, study):
    critic = {"base_url": "https://api.openai.com/v1", "api_key_env": "NO_SUCH_KEY"}
    code, line = complaint("label", study.label(**critic))
    assert code == 2
    assert "set the environment variable NO_SUCH_KEY" in line


def test_an_unknown_price(complaint, study):
    critic = {
        "base_url": "https://api.openai.com/v1",
        "api_key_env": "HOME",
        "usd_per_million_input_tokens": None,
    }
    code, line = complaint("label", study.label(**critic))
    assert code == 78
    assert "price" in line


def test_a_folder_that_is_no_model(complaint, study, tmp_path):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "cat.jpg").write_bytes(b"cat")
    code, line = complaint("dpo", study.dpo(model={"path": str(tmp_path / "photos")}))
    assert code == 2
    assert "no model folder at" in line


def test_a_shard_with_one_flipped_bit(complaint, study, tmp_path):
    labels = tmp_path / "labels"
    shutil.copytree(study.labels, labels)
    shard = min(labels.glob("*.parquet"))
    raw = bytearray(shard.read_bytes())
    raw[len(raw) // 2] ^= 1
    shard.write_bytes(raw)
    code, line = complaint("dpo", study.dpo(preferences=str(labels)))
    assert code == 65
    assert shard.name in line


def test_a_server_of_web_pages(complaint, study, garbage):
    critic = {"base_url": f"{garbage}/v1", "max_attempts": 1, "max_in_flight": 2}
    code, line = complaint("label", study.label(**critic))
    assert code == 75
    assert "check the endpoint" in line
    assert "garbage answer" in line
    assert "<html>maintenance</html>" in line
    assert garbage.removeprefix("http://") in line


def test_a_hugging_face_folder_with_pickled_weights(complaint, tmp_path):
    folder = tmp_path / "hf"
    folder.mkdir()
    (folder / "pytorch_model.bin").write_bytes(b"\x80\x04.")
    (folder / "config.json").write_text(json.dumps(HF_CONFIG))
    code, line = complaint("import-hf", {"folder": str(folder)})
    assert code == 78
    assert "safe_serialization" in line


def test_debug_shows_the_traceback(rlaif, tmp_path):
    process = rlaif.start_raw(["sft", tmp_path / "none.yaml", "--debug"])
    assert process.wait(timeout=60) == 2
    told = process.log.read_text()
    assert "Traceback" in told
    assert told.splitlines()[-1].startswith("rlaif-jax: no config at")


def test_a_key_is_never_shown(complaint, study, garbage):
    secret = "sk-" + "a1" * 12
    critic = {"base_url": f"{garbage}/v1", "max_attempts": 1, "api_key_env": "KEY"}
    code, line = complaint("label", study.label(**critic), KEY=secret)
    assert code == 75
    assert secret not in line
