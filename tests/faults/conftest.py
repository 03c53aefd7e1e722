"""Days in a blink: an event loop whose time jumps to the next thing that happens, and a wire that is no network."""

import asyncio
import selectors
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, NamedTuple, TypeAlias, TypeVar

import pytest
from multidict import CIMultiDict, CIMultiDictProxy

from iceye_async import Client, IceyeError
from iceye_async.protocol.replies import Reply

A = TypeVar("A")
Said: TypeAlias = tuple[int, Mapping[str, str], bytes]

EPOCH = 1_800_000_000.0
"""Wall time when virtual time is 0."""


class _Jump(selectors.DefaultSelector):
    """Where others would wait for the time, it passes it."""

    passed = 0.0

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else None)
        if not ready and timeout is not None and timeout > 0:
            self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        self._jump = _Jump()
        super().__init__(self._jump)

    def time(self) -> float:
        return self._jump.passed

    async def shutdown_default_executor(self, timeout: float | None = None) -> None:
        # From Python 3.12 on it has a time-out, which would be over before a thread can end.
        await super().shutdown_default_executor()


class Asked(NamedTuple):
    """A request as it left; `at` is virtual time in seconds."""

    at: float
    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes | None


class Wire:
    """Stands for aiohttp and everything beyond. `answer` gives a reply, or the error that there was instead."""

    def __init__(self) -> None:
        self.asked: list[Asked] = []
        self.latency = 0.05
        self.answer: Callable[[Asked], Said | IceyeError] = lambda asked: (418, {}, b"")

    async def exchange(self, http: Any, method: str, url: Any, *, headers: Any, data: Any = None, **_: object) -> Reply:
        loop = asyncio.get_running_loop()
        asked = Asked(loop.time(), method, url.raw_path_qs, headers, data)
        self.asked.append(asked)
        await asyncio.sleep(self.latency)
        said = self.answer(asked)
        if isinstance(said, IceyeError):
            raise said
        status, given, body = said
        return Reply(status, CIMultiDictProxy(CIMultiDict(given)), body, EPOCH + loop.time())

    def run(self, main: Callable[[Client], Awaitable[A]], **options: Any) -> A:
        """What `main(client)` gives, in virtual time. Options are those of `Client`."""

        async def inside() -> A:
            async with Client("https://api.example", **{"auth": "a-token", **options}) as client:
                return await main(client)

        with asyncio.Runner(loop_factory=VirtualLoop) as runner:
            return runner.run(inside())

    def busiest(self, seconds: float = 1.0) -> int:
        """The most requests in any stretch of so many seconds."""
        times = [asked.at for asked in self.asked]
        first, most = 0, 0
        for last, at in enumerate(times):
            while times[first] <= at - seconds:
                first += 1
            most = max(most, last - first + 1)
        return most


@pytest.fixture
def wire(monkeypatch: pytest.MonkeyPatch) -> Wire:
    """A wire that both the session and the token source use."""
    wire = Wire()
    monkeypatch.setattr("iceye_async.session.exchange", wire.exchange)
    monkeypatch.setattr("iceye_async.auth.exchange", wire.exchange)
    return wire
