"""The parts of `real_input.sh` that other people's libraries play.

python launch/real_input.py sharegpt ANNOTATIONS OUT.json
python launch/real_input.py hugging-face ANNOTATIONS FOLDER
python launch/real_input.py compare FOLDER PROMPTS.jsonl
"""

import gzip
import json
import sys
from pathlib import Path

NUM_COMPARED = 4  # prompts whose logits are compared
TOLERANCE = 1e-4


def read_annotations(path: Path) -> list[dict]:
    """The rows of an AlpacaEval file."""
    raw = path.read_bytes()
    return json.loads(gzip.decompress(raw) if path.suffix == ".gz" else raw)


def write_sharegpt(annotations: Path, out: Path) -> None:
    """Writes the rows as ShareGPT chats; every third one has a second exchange."""
    chats = []
    for number, row in enumerate(read_annotations(annotations)):
        turns = [("human", row["instruction"]), ("gpt", row["output_1"])]
        if number % 3 == 0:
            turns += [("human", "Say it in other words."), ("gpt", row["output_2"])]
        conversation = [{"from": who, "value": text} for who, text in turns]
        chats.append({"id": str(number), "conversations": conversation})
    out.parent.mkdir(parents=True, exist_ok=True)
    out.write_text(json.dumps(chats))


def write_hugging_face(annotations: Path, folder: Path) -> None:
    """Trains a tokenizer on the text, and saves it with a small random Llama."""
    import torch
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    rows = read_annotations(annotations)
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=2048,
        special_tokens=["<s>", "</s>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
    )
    texts = (
        row[key] for row in rows for key in ("instruction", "output_1", "output_2")
    )
    tokenizer.train_from_iterator(texts, trainer)
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, bos_token="<s>", eos_token="</s>"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(fast),
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        bos_token_id=fast.bos_token_id,
        eos_token_id=fast.eos_token_id,
    )
    LlamaForCausalLM(config).save_pretrained(folder)


def compare_logits(folder: Path, prompts: Path) -> float:
    """The largest difference between transformers' logits and ours."""
    import jax.numpy as jnp
    import numpy as np
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from rlaif_jax.checkpoint import import_hf
    from rlaif_jax.models import forward

    tokenizer = AutoTokenizer.from_pretrained(folder)
    theirs = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32)
    config, params = import_hf(folder, dtype="float32")
    worst = 0.0
    for line in prompts.read_text().splitlines()[:NUM_COMPARED]:
        text = json.loads(line)["messages"][-1]["content"]
        ids = tokenizer(text, return_tensors="np")["input_ids"]
        with torch.no_grad():
            expected = theirs(torch.tensor(ids)).logits.numpy()
        ours = forward(config, params, jnp.asarray(ids, jnp.int32))
        worst = max(worst, float(np.abs(np.asarray(ours) - expected).max()))
    return worst


def main(action: str, first: str, second: str) -> None:
    """Runs one part."""
    if action == "sharegpt":
        write_sharegpt(Path(first), Path(second))
    elif action == "hugging-face":
        write_hugging_face(Path(first), Path(second))
    elif action == "compare":
        worst = compare_logits(Path(first), Path(second))
        print(f"largest difference of logits to transformers: {worst:.2e}")
        if worst > TOLERANCE:
            sys.exit(f"that is more than {TOLERANCE}")
    else:
        sys.exit(f"unknown action {action!r}: sharegpt, hugging-face or compare")


if __name__ == "__main__":
    main(*sys.argv[1:])
