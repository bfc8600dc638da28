"""Strangers' requests: forged, replayed, oversized, unauthenticated, from other pages, too many."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
from contextlib import ExitStack, closing, suppress

import pytest

from console.guard import MAX_BODY_BYTES
from console.sessions import MAX_SESSIONS
from tests.browser.conftest import Client, fill, run_console
from tests.conftest import ROOT
from tests.fake_agent import PIN, SHIFT, FakeAgent, a_hit, a_read, hex_id

pytestmark = pytest.mark.integration
SIGN_ON = {
    "badge": "4711", "pin": PIN, "token": "", "role": "driver", "crew": [], "vehicle": "", "zone": "", "checkpoint": "",
    "task": "", "equipment": [],
}  # fmt: skip
ACKNOWLEDGE = {"hit_id": a_hit(1)["hit_id"]}


def sign_on(client, agent):
    agent.hit(a_hit(1))
    assert client.command("sign_on", SIGN_ON)[0] == 200
    agent.asked.clear()
    return client


@pytest.fixture
def officer(client, agent):
    """A client that has signed on, and a hit."""
    return sign_on(client, agent)


@pytest.fixture(scope="module")
def target(tmp_path_factory):
    """One for all requests that change nothing: agent, and a client that has signed on."""
    with FakeAgent(tmp_path_factory.mktemp("target")) as agent:
        fill(agent)
        with run_console(agent) as console:
            yield agent, sign_on(Client(console), agent)


def test_a_good_command_passes(officer, agent):
    """The refusals below have their own reasons."""
    assert officer.command("acknowledge", ACKNOWLEDGE)[0] == 200
    assert [asked["verb"] for asked in agent.asked] == ["acknowledge"]


@pytest.mark.parametrize(
    ("changes", "status"),
    [
        ({"cookie": None}, 401),
        ({"cookie": "patrol=" + "A" * 43}, 401),
        ({"x_csrf_token": None}, 403),
        ({"x_csrf_token": "A" * 43}, 403),
        ({"origin": None}, 403),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"host": "evil.example"}, 421),
        ({"sec_fetch_site": "cross-site"}, 403),
        ({"sec_fetch_site": "same-site"}, 403),
        ({"content_type": "text/plain"}, 415),
        ({"content_type": "application/x-www-form-urlencoded"}, 415),
        ({"x_request_id": None}, 400),
        ({"x_request_id": "1"}, 400),
    ],
)
def test_forged_commands_are_refused(target, changes, status):
    agent, officer = target
    assert officer.command("acknowledge", ACKNOWLEDGE, **changes)[0] == status
    assert agent.asked == []


def test_replayed_command_is_refused(officer, agent):
    headers = {"x_request_id": "0123456789abcdef"}
    assert officer.command("acknowledge", ACKNOWLEDGE, **headers)[0] == 200
    assert officer.command("acknowledge", ACKNOWLEDGE, **headers)[0] == 409
    assert len(agent.asked) == 1


def test_command_recorded_in_one_shift_is_worth_nothing_in_the_next(officer, agent):
    """A stolen session ends with the shift."""
    assert officer.command("sign_off")[0] == 200
    status, answer = officer.command("acknowledge", ACKNOWLEDGE)
    assert (status, answer["error"]) == (409, "not_signed_on")


def test_officers_token_never_reaches_the_browser(client):
    status, answer = client.command("sign_on", SIGN_ON)
    shown = {"ok": True, "badge": "4711", "name": "A. Example", "shift_id": SHIFT["shift_id"]}
    assert (status, answer) == (200, shown)


MALFORMED = (
    "", "[]", "null", "1", '"x"', "{", "[" * 5000, "\x00", '{"hit_id": NaN}', '{"hit_id":7}', "{}",
    '{"hit_id":"' + "f" * 31 + '"}', '{"hit_id":"' + "0" * 32 + '","more":1}',
)  # fmt: skip


@pytest.mark.parametrize("body", MALFORMED, ids=range(len(MALFORMED)))
def test_malformed_commands_never_reach_the_agent(target, body):
    agent, officer = target
    assert officer.command("acknowledge", body)[0] in {400, 422}
    assert agent.asked == []


@pytest.mark.parametrize("verb", ["picture", "camera_picture", "shutdown", "..%2fetc", "policy", ""])
def test_only_the_pages_verbs_are_passed_on(target, verb):
    agent, officer = target
    assert officer.command(verb, {})[0] in {404, 405}
    assert agent.asked == []


def test_oversized_body_is_refused_unread(target):
    _, officer = target
    assert officer.command("acknowledge", "x" * (MAX_BODY_BYTES + 1))[0] == 413


def test_oversized_body_in_chunks_is_refused(target):
    _, officer = target
    # No length is declared: it is counted.
    connection = http.client.HTTPConnection(officer.console.host, timeout=30)
    chunks = iter([b"x" * 4096] * 16)
    connection.request("POST", "/commands/acknowledge", chunks, officer.headers(), encode_chunked=True)
    try:
        assert connection.getresponse().status == 413
    except (BrokenPipeError, ConnectionResetError):
        pass  # closed before everything was sent
    finally:
        connection.close()


def test_oversized_header_is_refused(target):
    status, _, _ = target[1].console.request("GET", "/", cookie="x" * 70_000)
    assert status == 431


@pytest.mark.parametrize("path", ["/events", f"/pictures/read/{hex_id(1)}/plate", "/cameras/front/picture"])
def test_nothing_is_seen_without_a_session(target, path):
    status, body, _ = target[1].console.request("GET", path)
    assert status == 401
    assert b"6KYN051" not in body


@pytest.mark.parametrize(
    "path", ["/static/../app.py", "/static/%2e%2e/app.py", "/static//etc/passwd", "/pictures/read/1/plate",
             f"/pictures/read/{hex_id(1)}/../plate", "/cameras/a%0ab/picture", "/texts/../en.json", "/texts/xx.json"],
)  # fmt: skip
def test_paths_lead_nowhere_else(target, path):
    assert target[1].get(path)[0] in {404, 405}


def test_every_answer_has_strict_headers(target):
    client = target[1]
    console = client.console
    for path in ("/", "/static/console.css", "/nothing", f"/pictures/read/{hex_id(1)}/plate", "/texts/en.json"):
        _, _, headers = console.request("GET", path, cookie=client.cookie)
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert "access-control-allow-origin" not in headers
        assert "server" not in headers
    for path in ("/", f"/pictures/read/{hex_id(1)}/plate"):
        assert console.request("GET", path, cookie=client.cookie)[2]["cache-control"] == "no-store"


def test_cookie_is_for_this_page_alone(target):
    cookie = target[1].console.request("GET", "/")[2]["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=strict" in cookie


def test_page_has_no_inline_script_or_style(target):
    console = target[1].console
    page = console.request("GET", "/")[1].decode()
    assert " style=" not in page
    assert "<style" not in page
    assert " onclick" not in page
    assert "http://" not in page.replace(console.address, "")
    assert "https://" not in page


def test_typing_is_refused_while_driving_also_without_the_page(officer, agent):
    agent.drive(20.0)
    while officer.command("sign_on", SIGN_ON)[0] != 423:
        pass
    confirm = {
        **ACKNOWLEDGE, "checks": {"characters": True, "region": True, "vehicle": True}, "decision": "confirm",
        "reason": "", "confirming_agency": "A", "reference": "R",
    }  # fmt: skip
    assert officer.command("dispose", confirm)[0] == 423
    assert officer.command("dispose", {**confirm, "decision": "reject", "reason": "other_vehicle"})[0] == 200


def test_sign_ons_are_limited_for_each_terminal(client, console):
    """The agent counts attempts by badge; the console by time and address."""
    answers = [client.command("sign_on", {**SIGN_ON, "badge": str(i), "pin": "1"}) for i in range(8)]
    assert [status for status, _ in answers[:5]] == [409] * 5
    refused = next(answer for status, answer in answers if status == 429)
    assert refused["error"] == "wait"
    assert 1 <= refused["wait_s"] <= 5
    other = Client(console, source="127.0.0.3")
    assert other.command("sign_on", {**SIGN_ON, "badge": "9", "pin": "1"})[0] == 409


def test_flood_is_refused_and_passes(console):
    answers = [console.request("GET", "/static/icon.svg")[0] for _ in range(400)]
    assert answers[0] == 200
    assert 429 in answers


def test_flood_from_one_address_leaves_the_others_alone(console):
    def ask(source):
        return console.request("GET", "/static/icon.svg", source=source)[0]

    assert 429 in [ask("127.0.0.2") for _ in range(400)]
    assert ask("127.0.0.3") == 200


def test_ninth_terminal_is_refused(console, client):
    """Streams are few: a page that opens many cannot take the console's memory."""
    streams = []
    for _ in range(9):
        connection = http.client.HTTPConnection(console.host, timeout=30)
        connection.request("GET", "/events", headers={"cookie": client.cookie})
        streams.append((connection, connection.getresponse()))
    assert [answer.status for _, answer in streams] == [200] * 8 + [503]
    for connection, _ in streams:
        connection.close()


def test_incomplete_request_delays_no_other(target):
    client = target[1]
    console = client.console
    host, port = console.host.split(":")
    with socket.create_connection((host, int(port))) as slow:
        slow.sendall(b"P")
        assert client.get("/session")[0] == 204


def test_whoever_knew_the_session_before_the_sign_on_has_no_part_in_it(client, agent):
    """A cookie that was read from the terminal before."""
    before = client.cookie
    sign_on(client, agent)
    assert client.cookie != before
    assert client.command("acknowledge", ACKNOWLEDGE, cookie=before)[0] == 401
    assert client.command("acknowledge", ACKNOWLEDGE)[0] == 200


def test_the_stream_of_a_session_that_was_forgotten_ends(console):
    """It could not be reported, nor signed off with the shift."""
    client = Client(console)
    connection = http.client.HTTPConnection(console.host, timeout=30)
    with closing(connection):
        connection.request("GET", "/events", headers={"cookie": client.cookie})
        with connection.getresponse() as stream:
            assert stream.readline().startswith(b"event")
            for _ in range(MAX_SESSIONS):
                Client(console)
            assert stream.read().endswith(b"\n\n")


def test_terminals_of_strangers_keep_no_officer_out(agent):
    with run_console(agent, "--require-sign-on") as console, ExitStack() as streams:
        officer = Client(console)
        assert officer.command("sign_on", SIGN_ON)[0] == 200

        def follow(client):
            connection = http.client.HTTPConnection(console.host, timeout=30)
            streams.enter_context(closing(connection))
            connection.request("GET", "/events", headers={"cookie": client.cookie})
            return streams.enter_context(connection.getresponse())

        opened = [follow(Client(console)) for _ in range(8)]
        assert [stream.status for stream in opened] == [200] * 8
        assert follow(Client(console)).status == 503
        assert follow(officer).status == 200
        assert opened[0].read().endswith(b"\n\n"), "it has ended"


def test_console_that_requires_a_sign_on_shows_nothing_before(agent):
    with run_console(agent, "--require-sign-on") as console:
        client = Client(console)
        assert client.get(f"/pictures/read/{hex_id(1)}/plate")[0] == 401
        connection = http.client.HTTPConnection(console.host, timeout=30)
        connection.request("GET", "/events", headers={"cookie": client.cookie})
        stream = connection.getresponse()
        seen = b"".join(stream.fp.readline() for _ in range(15))
        assert b"6KYN051" not in seen
        assert b'event: reads\ndata: {"hidden":true}' in seen
        assert client.command("sign_on", SIGN_ON)[0] == 200
        assert client.get(f"/pictures/read/{hex_id(1)}/plate")[0] == 200
        while b"6KYN051" not in stream.fp.readline():
            pass
        connection.close()


def test_beyond_loopback_needs_a_certificate(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "cli", "console", "--host", "0.0.0.0", "--feed", str(tmp_path / "f")],  # noqa: S104
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 1
    assert "give --tls-cert and --tls-key" in done.stderr
    assert "Traceback" not in done.stderr


def test_feed_of_nonsense_does_not_end_the_console(agent, console, client):
    """It connects again; the agent is not harmed, and neither is the console."""
    for line in (
        b"nonsense\n",
        b"[]\n",
        b'{"event":1}\n',
        b'{"event":"read","n":1,"read":7}\n',
        b"\xff\n",
        b"{" * 9000 + b"\n",
    ):
        for connected in tuple(agent._clients):
            with suppress(OSError):  # the console has closed it already
                connected.sendall(line)
        assert client.get("/session")[0] == 204
    agent.read(a_read(99, "OK9999"))
    connection = http.client.HTTPConnection(console.host, timeout=30)
    connection.request("GET", "/events", headers={"cookie": client.cookie})
    stream = connection.getresponse()
    while b"OK9999" not in stream.fp.readline():
        pass
    connection.close()


def test_agent_is_not_held_up_by_a_console_that_hangs(tmp_path):
    """The agent's side of this promise is in the tests of its sockets."""
    with FakeAgent(tmp_path) as agent, run_console(agent) as console:
        Client(console)
        console.process.send_signal(19)
        agent.read(a_read(1))
        agent.become()
        console.process.send_signal(18)
        assert console.request("GET", "/")[0] == 200
