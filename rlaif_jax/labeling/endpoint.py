"""What must hold of an endpoint before a key is sent to it."""

import ipaddress
from urllib.parse import SplitResult, urlsplit

from rlaif_jax.config_endpoints import EndpointConfig
from rlaif_jax.errors import RefusedError, UsageError

# whose servers a vendor's key is meant for, by the name of its usual variable
_OWNERS = {
    "OPENAI_API_KEY": ("openai.com", "openai.azure.com"),
    "ANTHROPIC_API_KEY": ("anthropic.com",),
}
_NO_KEY = "no-key-needed"  # the SDKs insist on one; sent to loopback hosts only


def endpoint_host(base_url: str) -> str:
    """The host of a base URL, with its port if it names one.

    Raises:
      UsageError: If it is not an http(s) URL, or holds more than an address and path.
    """
    url = _split(base_url)
    if url.username or url.password or url.query or url.fragment:
        raise UsageError(
            f"base_url for {url.hostname} holds a user name, password or query: it may"
            " be an address and a path only"
        )
    host = url.hostname or ""
    return host if url.port is None else f"{host}:{url.port}"


def is_loopback(base_url: str) -> bool:
    """Whether the server runs on this machine."""
    name = _split(base_url).hostname or ""
    if name == "localhost":
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def require_key(config: EndpointConfig, api_key: str | None) -> str:
    """The key to send, once it is known to be safe to send it.

    Args:
      config: The endpoint.
      api_key: What the variable named by `api_key_env` holds; None without one.

    Raises:
      RefusedError: If the key would cross a network in the clear, or reach another
        vendor.
      UsageError: If a key is missing, or holds what no key holds.
    """
    local = is_loopback(config.base_url)
    host = endpoint_host(config.base_url)
    if not local and not config.base_url.startswith("https://"):
        raise RefusedError(
            f"base_url {config.base_url} is not https: the key and the texts would"
            " cross the network in the clear"
        )
    if not api_key:
        if local and config.api_key_env is None:
            return _NO_KEY
        variable = config.api_key_env
        raise UsageError(
            f"no key for {host}: set the environment variable {variable}"
            if variable
            else f"no key for {host}: name its environment variable in api_key_env"
        )
    if not local:
        _require_owner(config)
    if not api_key.isascii() or any(c.isspace() or ord(c) < 33 for c in api_key):
        raise UsageError(
            f"the key in {config.api_key_env} holds blanks or characters beyond ASCII:"
            " copy it again"
        )
    return api_key


def _require_owner(config: EndpointConfig) -> None:
    """Refuses to send one vendor's key to another's server."""
    name = _split(config.base_url).hostname or ""
    owners = _OWNERS.get(config.api_key_env or "")
    if owners and not any(name == one or name.endswith(f".{one}") for one in owners):
        raise RefusedError(
            f"{config.api_key_env} would be sent to {name}: if it is that server's key,"
            " hold it in a variable of another name and set api_key_env to that"
        )


def _split(base_url: str) -> SplitResult:
    """The parts of an http(s) URL."""
    try:
        url = urlsplit(base_url)
        is_known = url.scheme in ("http", "https") and bool(url.hostname)
        _ = url.port  # raises if it is not a number
    except ValueError:
        url, is_known = SplitResult("", "", "", "", ""), False
    if not is_known:
        raise UsageError("base_url is not an http(s) URL: write it as https://host/v1")
    return url
