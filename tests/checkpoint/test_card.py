"""Tests of `rlaif_jax.checkpoint.card`."""

from rlaif_jax.checkpoint.card import MARK, UNKNOWN, Lineage, Section, card_text
from rlaif_jax.models import Lora, preset

TINY = preset("lab-tiny")


def test_a_card_tells_stages_teachers_and_licence():
    lineage = Lineage(
        base_model="team/model",
        sections=[
            Section("AI feedback", {"model": "critic-9", "price": "1.20 USD"}),
            Section("SFT", {"steps": "12"}),
        ],
        teachers=("critic-9",),
    )
    text = card_text(TINY, lineage, dtype="bfloat16")
    head = "---\nlibrary_name: transformers\npipeline_tag: text-generation\n"
    assert text.startswith(head + f"base_model: team/model\n---\n{MARK}\n")
    assert "# team/model, aligned with rlaif_jax" in text
    assert "| files hold | bfloat16 |" in text
    assert text.index("## AI feedback") < text.index("## SFT") < text.index("## Lic")
    assert "| price | 1.20 USD |" in text
    assert "licence of team/model holds" in text
    assert "judgements of critic-9, whose terms" in text


def test_a_local_base_is_not_given_as_one_on_the_hub():
    text = card_text(TINY, Lineage(base_model="my-folder"), dtype="float32")
    assert "base_model:" not in text
    assert "# my-folder\n" in text


def test_an_unknown_lineage_claims_nothing():
    text = card_text(TINY, UNKNOWN, dtype="float32")
    assert "aligned" not in text
    assert "licence of the base model holds" in text
    assert "terms" not in text


def test_a_card_of_adapters_says_how_to_use_them():
    lora = Lora(rank=4, alpha=8.0, targets=("q", "v"))
    text = card_text(TINY.replace(lora=lora), UNKNOWN, dtype="float32")
    assert "library_name: peft" in text
    assert "`peft.PeftModel.from_pretrained`" in text
    assert "| adapters | rank 4, alpha 8 |\n| adapted maps | q, v |" in text
    plain = card_text(TINY, UNKNOWN, dtype="float32")
    count = next(line for line in plain.splitlines() if "| parameters |" in line)
    assert count in text  # of the model, not of the adapters


def test_no_fact_ends_its_cell():
    lineage = Lineage(sections=[Section("SFT", {"template": "a|b\nc"})])
    assert r"| template | a\|b c |" in card_text(TINY, lineage, dtype="float32")
