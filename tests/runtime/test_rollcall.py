"""Tests of `rlaif_jax.runtime.rollcall`."""

import logging
import socket
import threading

import pytest

from rlaif_jax.errors import CommandError, InternalError, UsageError
from rlaif_jax.runtime.cluster import Membership
from rlaif_jax.runtime.rollcall import call_roll, warn_of_proxies


@pytest.fixture
def port():
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


@pytest.fixture
def roll(port):
    """Calls the roll of some processes at once; gives what each raised."""

    def run(members, *, limit_s):
        raised: dict[int, CommandError | None] = {}

        def join(place, index, count):
            member = Membership(f"127.0.0.1:{port}", count, index, "test")
            try:
                call_roll(member, limit_s=limit_s)
                raised[place] = None
            except CommandError as error:
                raised[place] = error

        threads = [
            threading.Thread(target=join, args=(place, *member))
            for place, member in enumerate(members)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        return [raised[place] for place in range(len(members))]

    return run


def test_all_go_on_once_the_last_has_come(roll):
    assert roll([(3, 4), (1, 4), (0, 4), (2, 4)], limit_s=60.0) == [None] * 4


def test_who_is_missing_is_told_to_all_who_came(roll):
    for error in roll([(0, 5), (1, 5), (4, 5)], limit_s=1.0):
        assert isinstance(error, InternalError)
        assert "process 2, 3 of 5 did not join within 1 s" in str(error)
        assert "--worker=all" in str(error)


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ([(0, 3), (1, 2)], "process 1 is one of 2"),
        ([(0, 3), (1, 3), (1, 3)], "two processes say that they are process 1"),
    ],
)
def test_processes_that_do_not_agree_are_refused(roll, members, message):
    errors = roll(members, limit_s=3.0)
    for error in errors:
        assert isinstance(error, UsageError)
        assert message in str(error)


def test_process_0_that_is_not_there_is_named_with_its_port(roll, port):
    (error,) = roll([(1, 2)], limit_s=0.5)
    assert isinstance(error, InternalError)
    assert f"cannot reach process 0 at 127.0.0.1:{port} within 0.5 s" in str(error)
    assert "nobody listens there" in str(error)
    assert f"TCP port {port}" in str(error)


def test_a_port_that_is_taken_is_named(roll, port):
    with socket.create_server(("127.0.0.1", port)):
        (error,) = roll([(0, 2)], limit_s=1.0)
    assert f"cannot listen on port {port}" in str(error)


def test_what_is_no_process_of_the_run_is_passed_over(roll, port):
    def scan():
        for said in (b"GET / HTTP/1.1\r\n\r\n", b"[]\n", b""):
            with socket.create_connection(("127.0.0.1", port)) as connection:
                connection.sendall(said)

    scanning = threading.Timer(0.3, scan)
    scanning.start()
    threading.Timer(0.6, lambda: roll([(1, 2)], limit_s=30.0)).start()
    assert roll([(0, 2)], limit_s=30.0) == [None]
    scanning.join()


@pytest.mark.parametrize(
    ("host", "no_proxy", "is_told"),
    [
        ("10.0.0.1", "", True),
        ("10.0.0.1", "10.0.0.1", False),
        ("a.internal", ".internal", False),
        ("127.0.0.1", "", False),
    ],
)
def test_a_proxy_in_the_way_is_told(monkeypatch, caplog, host, no_proxy, is_told):
    for name in ("grpc_proxy", "http_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("https_proxy", "http://proxy:1")
    monkeypatch.setenv("no_proxy", no_proxy)
    with caplog.at_level(logging.WARNING, "rlaif_jax"):
        warn_of_proxies(host)
    assert ("https_proxy is set" in caplog.text) == is_told
