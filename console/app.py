"""The console's web application: one page, one stream of events, pictures and commands."""

from __future__ import annotations

import asyncio
import base64
import binascii
import json
import math
import re
import time
from contextlib import asynccontextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.routing import Route

from console.catalogue import LANGUAGES, language_of, texts
from console.commands import Commander
from console.errors import AgentUnavailableError, CommandRefusedError
from console.feed import follow_feed
from console.guard import Guard
from console.hub import Hub
from console.metrics import CONTENT_TYPE, ConsoleCounts, exposition
from console.requests import RefusedError, read_request
from console.sessions import BrowserSession, RateLimit, RateLimits, Sessions
from console.state import Section, is_entry_locked, is_fresh
from console.static_files import StaticFiles
from console.verbs import SECRETS, VERBS, arguments_of, is_typed
from console.viewing import note_shown, report_views
from console.views import HIDDEN, sections_for, view

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    from starlette.requests import Request

    from console.config import ConsoleConfig
    from console.hub import Follower
    from console.state import Document

FOLDER = Path(__file__).parent
MAX_STREAMS = 8
COOKIE_AGE_S = 366 * 86_400
_HEX_ID = re.compile(r"[0-9a-f]{32}")
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")
_KINDS = frozenset({"plate", "overview"})
_THEMES = ("night", "day")


class Console:
    """The routes and what they share."""

    def __init__(self, config: ConsoleConfig, commander: Commander, now_s: Callable[[], float]) -> None:
        self._config = config
        self._commander = commander
        self._now_s = now_s
        self._sessions = Sessions()
        self._sign_ons = RateLimits(per_s=0.2, burst=5)
        self._pictures = RateLimit(per_s=20, burst=60)
        self.counts = ConsoleCounts()
        self.hub = Hub(now_s, self._sessions.end_shifts)
        self._streams: dict[Follower, BrowserSession] = {}
        self._cookie = "__Host-patrol" if config.scheme == "https" else "patrol"
        self._templates = Environment(
            loader=FileSystemLoader(FOLDER / "templates"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip

    def routes(self) -> list[Route]:
        """All routes."""
        return [
            Route("/", self.page),
            Route("/texts/{language}.json", self.texts),
            Route("/session", self.session),
            Route("/events", self.events, methods=["GET"]),
            Route("/pictures/{item}/{item_id}/{kind}", self.picture),
            Route("/cameras/{name}/picture", self.camera_picture),
            Route("/settings", self.settings, methods=["POST"]),
            Route("/commands/{verb}", self.command, methods=["POST"]),
            *([Route("/metrics", self.metrics)] if self._config.is_loopback else ()),
            Route("/static/{path:path}", StaticFiles(FOLDER / "static").answer),
        ]

    async def report_views(self) -> None:
        """Tell the agent for ever what the terminals show."""
        await report_views(self._sessions, self._commander, self.hub.refresh)

    async def page(self, request: Request) -> Response:
        """The page; a browser without a session gets one."""
        t_s = self._now_s()
        session_id = request.cookies.get(self._cookie, "")
        session = self._sessions.get(session_id, t_s)
        if session is None:
            session_id, session = self._sessions.create(t_s)
        language = language_of(request.cookies.get("language"), request.headers.get("accept-language", ""))
        theme = request.cookies.get("theme")
        theme = theme if theme in _THEMES else _THEMES[0]
        words = texts(language)
        page = self._templates.get_template("page.html").render(
            t=lambda key: words[key], language=language, languages=LANGUAGES, theme=theme, csrf=session.csrf,
        )  # fmt: skip
        answer = HTMLResponse(page)
        self._set_session(answer, session_id)
        return answer

    def _set_session(self, answer: Response, session_id: str) -> None:
        secure = self._config.scheme == "https"
        answer.set_cookie(self._cookie, session_id, path="/", httponly=True, samesite="strict", secure=secure)

    async def metrics(self, _: Request) -> Response:
        """For Prometheus on the unit itself: this route exists on loopback alone."""
        fresh = is_fresh(self.hub.state, self._now_s())
        text = exposition(self.counts, terminals=self.hub.followers, is_fresh=fresh)
        return Response(text, media_type=CONTENT_TYPE)

    async def texts(self, request: Request) -> Response:
        """The catalogue of a language."""
        language = request.path_params["language"]
        if language not in LANGUAGES:
            return PlainTextResponse("unknown language", 404)
        return JSONResponse(dict(texts(language)))

    async def session(self, request: Request) -> Response:
        """Whether this browser has a session: one that lost its stream cannot see why."""
        return Response(status_code=401 if self._session(request) is None else 204)

    async def events(self, request: Request) -> Response:
        """The stream of events: each section of the page whenever it changes."""
        session = self._session(request)
        if session is None:
            return PlainTextResponse("no session: load the page again", 401)
        if self.hub.followers >= MAX_STREAMS and not self._make_room(session):
            return PlainTextResponse("too many terminals", 503)
        return StreamingResponse(self._stream(session), media_type="text/event-stream")

    def _make_room(self, session: BrowserSession) -> bool:
        """End a stranger's stream for an officer's: whoever cannot sign on keeps no officer from the page."""
        strangers = [
            follower
            for follower, other in self._streams.items()
            if not follower.closed and not self._is_signed_on(other)
        ]
        if not (self._config.needs_sign_on and self._is_signed_on(session) and strangers):
            return False
        self.hub.leave(strangers[0])
        return True

    async def _stream(self, session: BrowserSession) -> AsyncIterator[bytes]:
        follower = self.hub.follow()
        self._streams[follower] = session
        try:
            async for sections in follower.changes():
                if session.over:
                    return
                shown = sections_for(self._is_signed_on(session), self._config.needs_sign_on)
                for section in sections:
                    state, t_s = self.hub.state, self._now_s()
                    document = view(state, section, t_s, self.hub.checks) if section in shown else HIDDEN
                    if section is Section.SHIFT:
                        mine = session.shift_id if self._is_signed_on(session) else None
                        document = {**document, "mine": mine, "who": session.who}
                    note_shown(session, section, document)
                    yield f"event: {section}\ndata: {_json(document)}\n\n".encode()
        finally:
            self._streams.pop(follower, None)
            self.hub.leave(follower)

    async def picture(self, request: Request) -> Response:
        """A picture of a read or of a hit."""
        item, item_id, kind = (request.path_params[key] for key in ("item", "item_id", "kind"))
        if item not in {"read", "hit"} or not _HEX_ID.fullmatch(item_id) or kind not in _KINDS:
            return PlainTextResponse("no such picture", 404)
        # Those of reads are many and can be missed; those of a hit are needed.
        limited = item == "read"
        return await self._jpeg(request, "picture", limited=limited, **{f"{item}_id": item_id, "kind": kind})

    async def camera_picture(self, request: Request) -> Response:
        """The newest frame of a camera, small; none while the vehicle moves."""
        name = request.path_params["name"]
        if not _NAME.fullmatch(name):
            return PlainTextResponse("no such camera", 404)
        if is_entry_locked(self.hub.state):
            return PlainTextResponse("not while driving", 423)
        return await self._jpeg(request, "camera_picture", limited=True, camera=name)

    async def _jpeg(self, request: Request, verb: str, *, limited: bool, **arguments: Any) -> Response:
        session = self._session(request)
        if session is None or (self._config.needs_sign_on and not self._is_signed_on(session)):
            return PlainTextResponse("sign on first", 401)
        if limited and not self._pictures.take(self._now_s()):
            return PlainTextResponse("too many pictures", 429)
        try:
            answer = await self._commander.send(verb, session.officer, **arguments)
            picture = base64.b64decode(answer.get("jpeg_base64") or "", validate=True)
        except CommandRefusedError as refusal:
            return PlainTextResponse(refusal.code, 404)
        except (AgentUnavailableError, binascii.Error, TypeError):
            return PlainTextResponse("unavailable", 503)
        return Response(picture, media_type="image/jpeg")

    async def settings(self, request: Request) -> Response:
        """Language and theme of this browser."""
        _, document = await read_request(request, self._session(request))
        answer = JSONResponse({"ok": True})
        for name, known in (("language", LANGUAGES), ("theme", _THEMES)):
            if document.get(name) in known:
                answer.set_cookie(
                    name, document[name], max_age=COOKIE_AGE_S, samesite="strict", httponly=True,
                    secure=self._config.scheme == "https",
                )  # fmt: skip
        return answer

    async def command(self, request: Request) -> Response:
        """Pass a command on to the agent, as the officer who has signed on in this browser."""
        session, document = await read_request(request, self._session(request))
        verb = request.path_params["verb"]
        arguments = arguments_of(verb, document)
        if arguments is None:
            raise RefusedError(404 if verb not in VERBS else 422, "bad_arguments", "not a command of the console")
        if is_typed(verb, arguments) and is_entry_locked(self.hub.state):
            raise RefusedError(423, "moving", "locked while driving")
        if verb in SECRETS:
            self._limit_sign_ons(request)
        if verb == "check":
            return self._check(session, arguments)
        answer = await self._send(session, verb, arguments)
        if verb == "sign_on" and (renewed := self._sessions.renew(session)) is not None:
            self._set_session(answer, renewed)
        return answer

    def _limit_sign_ons(self, request: Request) -> None:
        """Raises RefusedError if this terminal sends too many: the agent's count of attempts is shared by all."""
        limit = self._sign_ons.of("" if request.client is None else request.client.host)
        if not limit.take(self._now_s()):
            wait_s = math.ceil(limit.wait_s)
            raise RefusedError(429, "wait", f"too many attempts: wait {wait_s} seconds", wait_s)

    async def _send(self, session: BrowserSession, verb: str, arguments: Document) -> Response:
        self.counts.commands += 1
        try:
            answer = await self._commander.send(verb, session.officer, **arguments)
        except CommandRefusedError as refusal:
            self.counts.commands_refused += 1
            if refusal.code == "not_signed_on":
                session.sign_off()
                self.hub.refresh()
            raise RefusedError(409, refusal.code, refusal.message, refusal.wait_s) from refusal
        except AgentUnavailableError as error:
            self.counts.commands_refused += 1
            raise RefusedError(503, "unavailable", str(error)) from error
        if verb == "sign_on":
            token = answer.get("session")
            session.officer = token if isinstance(token, str) else None
            session.shift_id = str(answer.get("shift_id") or "")
            session.who = " ".join(str(answer[key]) for key in ("badge", "name") if answer.get(key))
            self.hub.refresh()
        if verb == "sign_off":
            session.sign_off()
            self.hub.refresh()
        return JSONResponse({key: value for key, value in answer.items() if key not in {"id", "session"}})

    def _check(self, session: BrowserSession, arguments: Document) -> Response:
        """An answer to one of the checks of a hit: kept here until the decision."""
        if not self._is_signed_on(session):
            raise RefusedError(409, "not_signed_on", "sign on first")
        self.hub.set_check(arguments["hit_id"], arguments["check"], holds=arguments["holds"])
        return JSONResponse({"ok": True})

    def _session(self, request: Request) -> BrowserSession | None:
        return self._sessions.get(request.cookies.get(self._cookie, ""), self._now_s())

    @staticmethod
    def _is_signed_on(session: BrowserSession) -> bool:
        return session.officer is not None


def build_app(
    config: ConsoleConfig,
    port: int,
    *,
    on_fault: Callable[[], None] = lambda: None,
    now_s: Callable[[], float] = time.monotonic,
) -> Starlette:
    """The application for a console that is reached on ``port``.

    Its hub is ``app.state.hub``.  ``on_fault`` is called if a task of its own fails: the process must end then, with
    what is in ``app.state.faults``.
    """
    console = Console(config, Commander(config.command), now_s)

    faults: list[BaseException] = []

    def ended(task: asyncio.Task[None]) -> None:
        if not task.cancelled() and (fault := task.exception()) is not None:
            faults.append(fault)
            on_fault()

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        work = (follow_feed(config.feed, console.hub), console.report_views())
        tasks = [asyncio.create_task(each) for each in work]
        for task in tasks:
            task.add_done_callback(ended)
        yield
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    guard = Middleware(
        Guard,
        hosts=config.hosts(port),
        scheme=config.scheme,
        limits=RateLimits(per_s=50, burst=300),
        now_s=now_s,
        counts=console.counts,
    )
    app = Starlette(
        routes=console.routes(),
        middleware=[guard],
        lifespan=lifespan,
        exception_handlers={RefusedError: _answer_refused},
    )
    app.state.hub = console.hub
    app.state.faults = faults
    return app


async def _answer_refused(_: Request, error: Exception) -> Response:
    """The answer to a request that was refused."""
    assert isinstance(error, RefusedError)  # noqa: S101 - registered for it alone
    wait = {} if error.wait_s is None else {"wait_s": error.wait_s}
    return JSONResponse({"ok": False, "error": error.code, "message": error.message, **wait}, error.status)


def _json(document: Document) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))
