"""Random numbers that depend on what is asked, never on what was asked before."""

import hashlib

_TWO_64 = float(2**64)


def uniform(*parts: str | int) -> float:
    """A number in [0, 1) that is a function of the parts alone.

    A teacher or critic that draws from a shared stream would answer differently when
    requests arrive in another order; keyed by its request it cannot.
    """
    # lengths keep ("ab", "c") and ("a", "bc") apart
    text = "".join(f"{len(str(part))}:{part}" for part in parts)
    digest = hashlib.blake2b(
        text.encode("utf-8", "surrogatepass"), digest_size=8
    ).digest()
    # 53 bits: a full 64-bit integer could round up to 1.0
    return (int.from_bytes(digest, "big") >> 11 << 11) / _TWO_64
