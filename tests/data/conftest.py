"""Small real tokenizers, and records to fill shards with."""

from pathlib import Path

import pytest
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import PreTrainedTokenizerFast

from rlaif_jax.records import Message, Preference, content_hash

FIXTURES = Path(__file__).parent / "fixtures"
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
CORPUS = [
    "Human: What is the capital of France?\n\nAssistant: The capital is Paris.",
    "Q: How do trees grow?\nA: Slowly, from light and water and air. 🌳 é",
]
SPECIAL = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]


def train_tokenizer(*, adds_bos: bool = False) -> PreTrainedTokenizerFast:
    bare = Tokenizer(models.BPE())
    bare.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bare.decoder = decoders.ByteLevel()
    bare.train_from_iterator(
        CORPUS,
        trainers.BpeTrainer(
            vocab_size=400,
            special_tokens=SPECIAL,
            initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
            show_progress=False,
        ),
    )
    if adds_bos:
        bare.post_processor = processors.TemplateProcessing(
            single="<s> $A", pair="<s> $A $B", special_tokens=[("<s>", 0)]
        )
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=bare, bos_token="<s>", eos_token="</s>"
    )
    tokenizer.chat_template = CHATML
    return tokenizer


@pytest.fixture(scope="session")
def made_up():
    """The path of a made-up file in a data set's true format."""
    return lambda name: str(FIXTURES / name)


@pytest.fixture(scope="session")
def tokenizer():
    return train_tokenizer()


@pytest.fixture(scope="session")
def bos_tokenizer():
    return train_tokenizer(adds_bos=True)


@pytest.fixture(scope="session")
def preference():
    """Makes the n-th preference of an endless supply."""

    def make(n: int) -> Preference:
        prompt_id = content_hash("prompt", n)
        return Preference(
            prompt=(Message(role="user", content=f"question {n} é\u2028"),),
            chosen=(Message(role="assistant", content=f"good {n}"),),
            rejected=(Message(role="assistant", content=f"bad {n}"),),
            pair_id=content_hash("pair", n),
            prompt_id=prompt_id,
            chosen_generator="teacher",
            rejected_generator="student",
            p_chosen=0.5 + n / 1000,
            verdict_both_orders="first,first",
            critic="critic",
            critic_returned_model="critic-1",
            template_hash="t",
            label_cost_usd=0.25,
            chosen_finish_reason="stop",
            rejected_finish_reason="length",
            split="aif",
        )

    return make
