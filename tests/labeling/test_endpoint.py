"""Tests of `rlaif_jax.labeling.endpoint`."""

import pytest

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.errors import RefusedError, UsageError
from rlaif_jax.labeling.endpoint import endpoint_host, is_loopback, require_key


def config(base_url, **fields):
    return EndpointConfig(api="openai", base_url=base_url, model="m", **fields)


def test_hosts_are_shown_without_their_path():
    assert endpoint_host("https://api.openai.com/v1") == "api.openai.com"
    assert endpoint_host("http://127.0.0.1:8000/v1") == "127.0.0.1:8000"


@pytest.mark.parametrize(
    ("url", "local"),
    [
        ("http://localhost:1/v1", True),
        ("http://127.0.0.5/v1", True),
        ("http://[::1]:80/v1", True),
        ("https://localhost.evil.com", False),
        ("https://10.0.0.1", False),
    ],
)
def test_loopback_is_this_machine_only(url, local):
    assert is_loopback(url) is local


@pytest.mark.parametrize(
    "url", ["api.openai.com/v1", "ftp://x", "http://", "http://x:y"]
)
def test_an_address_that_is_none_is_refused(url):
    with pytest.raises(UsageError, match="not an http"):
        endpoint_host(url)


def test_secrets_in_an_address_are_refused_and_not_repeated():
    with pytest.raises(UsageError) as caught:
        endpoint_host("https://user:hunter2@host/v1")
    assert "hunter2" not in str(caught.value)


def test_loopback_needs_no_key():
    assert require_key(config("http://127.0.0.1:1/v1"), None)


def test_a_named_key_must_be_there_even_on_loopback():
    with pytest.raises(UsageError, match="MY_KEY"):
        require_key(config("http://127.0.0.1:1/v1", api_key_env="MY_KEY"), None)


def test_a_remote_host_needs_a_key():
    with pytest.raises(UsageError, match="api_key_env"):
        require_key(config("https://api.openai.com/v1"), None)


def test_a_key_never_travels_in_the_clear():
    with pytest.raises(RefusedError, match="https"):
        require_key(config("http://api.example.com/v1", api_key_env="K"), "abc")


@pytest.mark.parametrize(
    ("variable", "host"),
    [
        ("OPENAI_API_KEY", "api.example.com"),
        ("OPENAI_API_KEY", "notopenai.com"),
        ("OPENAI_API_KEY", "api.openai.com.example.com"),
        ("ANTHROPIC_API_KEY", "api.openai.com"),
    ],
)
def test_a_vendors_key_goes_to_no_other_server(variable, host):
    with pytest.raises(RefusedError, match=f"{variable} would be sent to {host}"):
        require_key(config(f"https://{host}/v1", api_key_env=variable), "abc")
    assert require_key(config(f"https://{host}/v1", api_key_env="MINE"), "abc") == "abc"


@pytest.mark.parametrize(
    ("variable", "url"),
    [
        ("OPENAI_API_KEY", "https://api.openai.com/v1"),
        ("OPENAI_API_KEY", "https://eu.api.openai.com/v1"),
        ("OPENAI_API_KEY", "https://mine.openai.azure.com/openai/v1"),
        ("ANTHROPIC_API_KEY", "https://api.anthropic.com"),
        ("OPENAI_API_KEY", "http://127.0.0.1:1/v1"),  # it does not leave the machine
    ],
)
def test_a_vendors_key_goes_to_its_own_servers(variable, url):
    assert require_key(config(url, api_key_env=variable), "abc") == "abc"


@pytest.mark.parametrize("key", ["abc\n", "a b", "ключ", "\x07"])
def test_a_damaged_key_is_named_but_not_shown(key):
    with pytest.raises(UsageError) as caught:
        require_key(config("https://h/v1", api_key_env="MY_KEY"), key)
    assert "MY_KEY" in str(caught.value) and key not in str(caught.value)
