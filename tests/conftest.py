"""What every test may use: the documented bodies, a clock that moves when somebody sleeps on it, and scripted servers.

It also makes aioresponses work with aiohttp 3.14 and later.
"""

import asyncio
import gc
import inspect
import logging
import pickle
import secrets
import signal
import socket
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable, Generator, Iterator
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias
from unittest.mock import Mock

import aiohttp
import aioresponses.core
import pytest
from aiohttp import web
from aiohttp.client_proto import ResponseHandler
from aiohttp.streams import StreamReader

from iceye_async import Client, IceyeError
from iceye_async.sandbox import Sandbox
from iceye_async.session import Session
from tests.showing import frames

DATA = Path(__file__).parent / "data"

# A shell that starts this in the background has SIGINT ignored, by the programs that the tests start and stop as well.
signal.signal(signal.SIGINT, signal.default_int_handler)

# aioresponses 0.7.9 does not know that aiohttp 3.14 wants a stream writer, and that pausing a stream wants a parser.
if "stream_writer" in inspect.signature(aiohttp.ClientResponse.__init__).parameters:

    class _MockedResponse(aiohttp.ClientResponse):
        def __init__(self, *args: Any, **options: Any) -> None:
            options.setdefault("stream_writer", Mock(output_size=0))
            super().__init__(*args, **options)

    aioresponses.core.ClientResponse = _MockedResponse
    aioresponses.core.stream_reader_factory = lambda loop=None: StreamReader(
        ResponseHandler(loop=loop), limit=2**30, loop=loop
    )


@pytest.fixture
def sample() -> Callable[[str], bytes]:
    """The documented body of this name: `derivatives-206`, for instance."""
    return lambda name: (DATA / f"{name}.json").read_bytes()


Answer: TypeAlias = tuple[int, dict[str, str], bytes] | Callable[[web.Request], Awaitable[web.StreamResponse]]


class ManualClock:
    """Sleeping takes no time here, and moves the clock; `waits` are the sleeps so far, in seconds."""

    def __init__(self) -> None:
        self.time = 1000.0
        self.waits: list[float] = []

    def now(self) -> float:
        return self.time

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.time += seconds
        await asyncio.sleep(0)


class Heard(NamedTuple):
    """A request as it came over the wire; `target` is its path and query byte for byte, `at` the manual time."""

    method: str
    target: str
    headers: Any
    body: bytes
    at: float


class Script:
    """Answers each path from its list; the last answer stands for all later requests."""

    def __init__(self, clock: ManualClock) -> None:
        self.url = ""
        self.requests: list[Heard] = []
        self._clock = clock
        self._answers: dict[str, list[Answer]] = {}

    def answers(self, path: str, *answers: Answer) -> None:
        self._answers[path] = list(answers)

    def asked(self, path: str) -> list[Heard]:
        """The requests to this path."""
        return [heard for heard in self.requests if heard.target.partition("?")[0] == path]

    @property
    def open(self) -> int:
        """How many connections there are."""
        server = self._runner.server
        assert server is not None
        return len(server.connections)

    async def handle(self, request: web.Request) -> web.StreamResponse:
        body = await request.read()
        self.requests.append(Heard(request.method, request.raw_path, request.headers, body, self._clock.now()))
        answers = self._answers.get(request.path, [(418, {}, b"not in the script")])
        answer = answers.pop(0) if len(answers) > 1 else answers[0]
        if callable(answer):
            return await answer(request)
        status, headers, body = answer
        return web.Response(status=status, headers=headers, body=body)

    async def serve(self) -> web.AppRunner:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self.handle)
        runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.05, handler_cancellation=True)
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        self._runner = runner
        self.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
        return runner


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock()


@pytest.fixture
async def serve(clock: ManualClock) -> AsyncIterator[Callable[[], Awaitable[Script]]]:
    """Starts another scripted server."""
    async with AsyncExitStack() as stack:

        async def start() -> Script:
            script = Script(clock)
            stack.push_async_callback((await script.serve()).cleanup)
            return script

        yield start


@pytest.fixture
async def service(serve: Callable[[], Awaitable[Script]]) -> Script:
    """The API, scripted."""
    return await serve()


@pytest.fixture
async def other(serve: Callable[[], Awaitable[Script]]) -> Script:
    """Another origin, scripted: a link host, or where a redirect leads."""
    return await serve()


@pytest.fixture
async def connect(service: Script, clock: ManualClock) -> AsyncIterator[Callable[..., Client]]:
    """Makes a client of the scripted API on the manual clock, and closes it after the test."""
    async with AsyncExitStack() as stack:

        def make(base_url: str = "", **options: Any) -> Client:
            client = Client(
                base_url or service.url, **{"auth": f"{CANARY}-token", "clock": clock, "rate_limit": None, **options}
            )
            stack.push_async_callback(client.close)
            return client

        yield make


@pytest.fixture
def closed_port() -> Iterator[str]:
    """An origin on loopback where nobody listens."""

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        yield f"http://127.0.0.1:{taken.getsockname()[1]}"


# --- canaries --------------------------------------------------------------------------------------------------

CANARY = "c4n4ry"
"""In every secret that the tests give away: tokens, client secrets, signatures of links, passwords of proxies."""


class Aviary(logging.Handler):
    """Everything in which no secret may ever be seen, as text."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.errors: list[IceyeError] = []
        self.sessions: weakref.WeakSet[Session] = weakref.WeakSet()
        self.seen: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.seen.append(f"logged: {record.getMessage()} {vars(record)} {self.format(record)}")

    def everything(self) -> Iterator[str]:
        yield from self.seen
        # The first and the last of thousands that are all alike.
        for error in [*self.errors[:100], *self.errors[100:][-20:]]:
            yield f"error: {error} {error!r} {vars(error)}"
            yield f"pickled: {without_data(error)!r}"
            yield from (f"in a traceback: {shown}" for shown in frames(error))
        for session in self.sessions:
            yield f"session: {session!r} {vars(session)} {vars(session._source)} {vars(session.route)}"


def without_data(error: IceyeError) -> bytes:
    """The pickle, but for what the service listed: links are the data of a model."""
    facts = {name: fact for name, fact in vars(error).items() if name not in {"latest", "failed"}}
    return pickle.dumps((error.args, facts))


@pytest.fixture(autouse=True)
def aviary(monkeypatch: pytest.MonkeyPatch) -> Iterator[Aviary]:
    """No secret is logged at any level, and none is in an error, a repr, a traceback or a pickle, in any test."""
    aviary = Aviary()
    make_error, open_session = IceyeError.__init__, Session.open

    def error_made(self: IceyeError, *args: Any, **facts: Any) -> None:
        make_error(self, *args, **facts)
        aviary.errors.append(self)

    def session_opened(self: Session) -> aiohttp.ClientSession:
        aviary.sessions.add(self)
        return open_session(self)

    monkeypatch.setattr(IceyeError, "__init__", error_made)
    monkeypatch.setattr(Session, "open", session_opened)
    hex_digits, safe = secrets.token_hex, secrets.token_urlsafe
    monkeypatch.setattr("secrets.token_hex", lambda length=None: CANARY + hex_digits(length))
    monkeypatch.setattr("secrets.token_urlsafe", lambda length=None: CANARY + safe(length))
    sign = Sandbox._signature
    monkeypatch.setattr(Sandbox, "_signature", lambda *parts: CANARY + sign(*parts))
    log = logging.getLogger("iceye_async")
    monkeypatch.setattr(log, "level", logging.DEBUG)
    log.manager._clear_cache()
    for name in ("iceye_async", "asyncio", "backoff"):
        logging.getLogger(name).addHandler(aviary)
    yield aviary
    for name in ("iceye_async", "asyncio", "backoff"):
        logging.getLogger(name).removeHandler(aviary)
    found = [text[:400] for text in aviary.everything() if CANARY in text]
    aviary.errors.clear()
    assert not found


@pytest.hookimpl(trylast=True)
def pytest_collection_finish() -> None:
    """The thirteen thousand tests themselves need not be looked through whenever garbage is collected."""
    gc.collect()
    gc.freeze()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(item: pytest.Item, call: pytest.CallInfo[None]) -> Generator[None, Any, Any]:
    """No secret is printed by any test."""
    report = yield
    if report.passed and any(CANARY in text for name, text in report.sections if "log" not in name):
        report.outcome = "failed"
        report.longrepr = f"{item.nodeid} printed a secret"
    return report


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """What the tests counted: `record_property("variants tried", 1000)` in several tests is one line with the sum."""
    counted: dict[str, int] = {}
    for report in terminalreporter.getreports("passed"):
        for name, value in report.user_properties if report.when == "call" else ():
            if isinstance(value, int):
                counted[name] = counted.get(name, 0) + value
    for name, total in sorted(counted.items()):
        terminalreporter.write_line(f"{name}: {total:,}")
