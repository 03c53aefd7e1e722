"""What every test may use: the documented bodies, a clock that moves when somebody sleeps on it, and scripted servers.

It also makes aioresponses work with aiohttp 3.14 and later.
"""

import asyncio
import inspect
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
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

from iceye_async import Client

DATA = Path(__file__).parent / "data"

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
                base_url or service.url, **{"auth": "a-token", "clock": clock, "rate_limit": None, **options}
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
