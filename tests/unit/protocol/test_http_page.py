"""What console and station have in common at the border of their pages."""

from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from console.guard import Guard
from console.metrics import ConsoleCounts
from console.sessions import RateLimits
from protocol.http_page import BoundedBody, is_length_within
from station.web.guard import Guard as StationGuard


@pytest.mark.parametrize(
    ("length", "is_within"),
    [
        ("0", True), ("10", True), ("11", False), ("", False), ("-1", False), ("1e1", False), ("+1", False),
        (" 1", False), ("0" * 11, True), ("0" * 12, False), ("9" * 5_000, False), ("²", False), ("x", False),
    ],
)  # fmt: skip
def test_a_length_is_a_number_up_to_the_limit(length, is_within):
    """Thousands of digits are more than Python makes a number of."""
    assert is_length_within(length, 10) == is_within


@given(st.text(max_size=20), st.integers(0, 10**6))
def test_no_text_is_an_error(length, limit):
    assert is_length_within(length, limit) in {True, False}


class TooLargeError(Exception):
    pass


@given(st.lists(st.binary(max_size=8), max_size=8))
def test_a_body_in_parts_is_counted(parts):
    waiting = iter(parts)

    async def receive():
        return {"type": "http.request", "body": next(waiting), "more_body": True}

    async def read():
        body = BoundedBody(receive, 20, TooLargeError)
        return [(await body())["body"] for _ in parts]

    if sum(map(len, parts)) > 20:
        with pytest.raises(TooLargeError):
            asyncio.run(read())
    else:
        assert asyncio.run(read()) == parts


@pytest.mark.parametrize("length", ["9" * 5_000, "16385", "x"])
def test_the_console_refuses_a_length_that_is_none(length):
    """A number of thousands of digits was an error of the console."""
    sent = []

    async def send(message):
        sent.append(message)

    async def never(*_):
        raise AssertionError

    limits = RateLimits(per_s=1, burst=1)
    guard = Guard(
        never, hosts=frozenset({"h"}), scheme="http", limits=limits, now_s=lambda: 0.0, counts=ConsoleCounts()
    )
    headers = {"host": "h", "origin": "http://h", "content-type": "application/json", "content-length": length}
    scope = {
        "type": "http", "method": "POST", "path": "/",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }  # fmt: skip
    asyncio.run(guard(scope, never, send))
    assert sent[0]["status"] == 413
    assert dict(sent[0]["headers"])[b"x-frame-options"] == b"DENY"


def answer_of(guard, own):
    """The headers of an answer that the application gives some headers itself."""
    sent = []

    async def app(scope, receive, send):
        headers = [(name.encode(), value.encode()) for name, value in own.items()]
        await send({"type": "http.response.start", "status": 200, "headers": headers})

    async def send(message):
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": "/", "headers": [(b"host", b"h")]}
    asyncio.run(guard(app)(scope, None, send))
    return {name.decode(): value.decode() for name, value in sent[0]["headers"]}


@pytest.mark.parametrize("scheme", ["http", "https"])
def test_an_answer_changes_the_defaults_and_nothing_else(scheme):
    """Browsers come back with TLS alone, where there was TLS."""

    def guard(app):
        return StationGuard(
            app, hosts=frozenset({"h"}), scheme=scheme, body_limits={}, may_send=lambda request: False
        )

    told = answer_of(guard, {"x-frame-options": "ALLOWALL", "cache-control": "private"})
    assert (told["x-frame-options"], told["cache-control"]) == ("DENY", "private")
    assert "default-src 'none'" in told["content-security-policy"]
    assert ("strict-transport-security" in told) == (scheme == "https")
