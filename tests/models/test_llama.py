"""Tests of `rlaif_jax.models.llama`."""

from rlaif_jax.models.llama import LAB_TINY, LLAMA_2_13B


def test_the_13b_has_40_heads_of_128():
    assert LLAMA_2_13B.num_heads * LLAMA_2_13B.head_dim == LLAMA_2_13B.embed


def test_the_lab_model_is_64_wide_with_3_layers_of_4_heads():
    sizes = (LAB_TINY.embed, LAB_TINY.num_layers, LAB_TINY.num_heads, LAB_TINY.ffw)
    assert sizes == (64, 3, 4, 128)
