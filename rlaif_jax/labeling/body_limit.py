"""How much of a response is read: a server may send anything, and without end."""

from contextlib import aclosing

import httpx2

# 1,900 tokens with 20 alternatives each, or a million words
MAX_BODY_BYTES = 4 << 20


class BodyTooLongError(httpx2.RemoteProtocolError):
    """A response's body is longer than any answer."""


async def read_bounded(response: httpx2.Response) -> None:
    """Reads the body of an answer, unpacked, up to `MAX_BODY_BYTES`.

    A hook of the client: what it has read, the SDK does not read again. What is left
    is not read at all, the connection is closed. What is not asked but fetched, such
    as the results of a batch, may be of any length and is left to who fetches it.

    Raises:
      BodyTooLongError: If there is more; the SDK takes it for a failed connection.
    """
    if response.request.method == "GET":
        return
    parts: list[bytes] = []
    num_bytes = 0
    async with aclosing(response.aiter_bytes()) as body:
        async for part in body:
            num_bytes += len(part)
            if num_bytes > MAX_BODY_BYTES:
                raise BodyTooLongError(f"the body has over {MAX_BODY_BYTES:,} bytes")
            parts.append(part)
    response._content = b"".join(parts)
