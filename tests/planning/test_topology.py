"""Tests of `rlaif_jax.planning.topology`; `end_to_end/test_plan.py` has real ones."""

import pytest

from rlaif_jax.errors import UsageError
from rlaif_jax.planning.topology import tpu_topology


@pytest.mark.parametrize("name", ["v5e", "v5e-16", "4x4", "v5e:4", "v5e:4x4x4x4", ""])
def test_a_name_that_is_none_is_refused_before_a_compiler_is_asked(name):
    with pytest.raises(UsageError, match=r"topology=.*v5e:4x8"):
        tpu_topology(name)
