"""The lab as a process of its own."""

import json
import time
import urllib.error
import urllib.request

import pytest


def test_it_is_slow_and_faulty_where_that_is_asked_for(rlaif, tmp_path, wait_until):
    out = tmp_path / "lab"
    document = {"port": 0, "latency_s": 0.3, "faults": {"server_error": 1.0}}
    process = rlaif.start("lab", document, out)
    wait_until((out / "lab.json").is_file, process)
    url = json.loads((out / "lab.json").read_text())["url"]
    begun_at = time.monotonic()
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(f"{url}/v1/chat/completions", data=b"{}")
    caught.value.close()
    assert caught.value.code == 500
    assert time.monotonic() - begun_at >= 0.3
