"""The tasks of `task_life.py` in one batch, in virtual time, without a network: what `batch.py life` measures.

The event loop jumps to the next thing that is waited for, but not while the journal, which is a file, has something to
write. Client, batch and journal are the real ones; in place of aiohttp stands a service that answers by the loop's
clock, and takes `LATENCY` for it.
"""

import asyncio
import contextlib
import json
import random
import selectors
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from datetime import UTC, datetime
from email.utils import formatdate
from functools import cache, lru_cache
from typing import Any, NamedTuple
from unittest import mock
from urllib.parse import parse_qsl, urlsplit

from multidict import CIMultiDict, CIMultiDictProxy
from task_life import CLOSES, EPOCH, OPENS, Life, draw

from iceye_async import Client, DerivativeType, PollPolicy
from iceye_async.batch import Failed, Finished
from iceye_async.batch.journal import Journal
from iceye_async.protocol.replies import Reply

ROOT = "/api/tasking/v2/tasks"
LATENCY = 0.05
PAGE = 50


class _Jump(selectors.DefaultSelector):
    """Where others would wait for the time, it passes it."""

    passed = 0.0
    writing = 0
    """Commits that are waited for."""

    def select(self, timeout: float | None = None) -> Any:
        ready = super().select(0 if timeout is not None else None)
        if ready or timeout is None or timeout <= 0:
            return ready
        if self.writing:
            return super().select(0.01)
        self.passed += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which waiting takes no time."""

    def __init__(self) -> None:
        self.jump = _Jump()
        super().__init__(self.jump)

    def time(self) -> float:
        return self.jump.passed


@contextlib.contextmanager
def _in_step(loop: VirtualLoop) -> Iterator[None]:
    """Time stands still while the journal has something to do that somebody waits for."""
    jump = loop.jump

    def written(_: object) -> None:
        jump.writing -= 1

    def counted(write: Callable[..., asyncio.Future[None]]) -> Callable[..., asyncio.Future[None]]:
        def counting(self: Journal, *given: Any) -> asyncio.Future[None]:
            jump.writing += 1
            future = write(self, *given)
            future.add_done_callback(written)
            return future

        return counting

    def held(work: Callable[..., Any]) -> Callable[..., Any]:
        async def holding(self: Journal, *given: Any, **named: Any) -> Any:
            jump.writing += 1
            try:
                return await work(self, *given, **named)
            finally:
                jump.writing -= 1

        return holding

    with contextlib.ExitStack() as stack:
        stack.enter_context(mock.patch.object(Journal, "write", counted(Journal.write)))
        for name in ("open", "flush", "close"):
            stack.enter_context(mock.patch.object(Journal, name, held(getattr(Journal, name))))
        yield


class Service:
    """Answers as documented, for all tasks at once. They were created at 0."""

    def __init__(self, lives: tuple[Life, ...], *, scenes: bool) -> None:
        self._lives, self._scenes = lives, scenes
        self.asked: Counter[str] = Counter()

    async def exchange(self, _http: Any, _method: str, url: Any, **_: object) -> Reply:
        await asyncio.sleep(LATENCY)
        status, body = self._answer(url.raw_path_qs, asyncio.get_running_loop().time())
        return Reply(status, _headers(int(asyncio.get_running_loop().time())), body)

    def _answer(self, target: str, at: float) -> tuple[int, bytes]:
        path, query = urlsplit(target)[2:4]
        if path == ROOT:
            self.asked["page"] += 1
            return 200, self._page(dict(parse_qsl(query)), at)
        identity, _, what = path.removeprefix(f"{ROOT}/").partition("/")
        self.asked[what or "task"] += 1
        number = number_of(identity)
        life = self._lives[number]
        if what == "":
            return 200, self._task(number, at)
        known = [imaging for since, imaging in life.plans if since <= at]
        if what == "scene" and known and self._scenes:
            return 200, _dumped({"imagingTime": {"start": _stamp(known[-1]), "end": _stamp(known[-1] + 10)}})
        if what == "derivatives" and at >= min(life.ready):
            return 200 if at >= life.done else 206, _dumped({"data": _listed(life, at)})
        return 404, b'{"code": "NOT_FOUND", "message": "not found"}'

    def _task(self, number: int, at: float) -> bytes:
        life = self._lives[number]
        status, since = "RECEIVED", 0.0
        for name, reached in (("ACTIVE", life.decided), ("FULFILLED", life.fulfilled), ("DONE", life.done)):
            if reached <= at:
                status, since = name, reached
        return _task(number, status, since)

    def _page(self, query: Mapping[str, str], at: float) -> bytes:
        if "createdAfter" in query and datetime.fromisoformat(query["createdAfter"]).timestamp() > EPOCH:
            return b'{"data": []}'
        first = int(query.get("cursor", "0"))
        last = min(first + min(int(query.get("limit", "10")), PAGE), len(self._lives))
        cursor = str(last) if last < len(self._lives) else ""
        tasks = b",".join(self._task(number, at) for number in range(first, last))
        return b'{"data": [%s], "cursor": "%s"}' % (tasks, cursor.encode())


def id_of(number: int) -> str:
    return f"task-{number:06}"


def number_of(identity: str) -> int:
    return int(identity.removeprefix("task-"))


@lru_cache(maxsize=64)
def _headers(second: int) -> CIMultiDictProxy[str]:
    date = formatdate(EPOCH + second, usegmt=True)
    return CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json", "Date": date}))


@cache
def _task(number: int, status: str, since: float) -> bytes:
    return _dumped(
        {
            "id": id_of(number),
            "contractID": "benchmark",
            "status": status,
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest": {"lat": 60.2, "lon": 24.9},
            "acquisitionWindow": {"start": _stamp(OPENS), "end": _stamp(CLOSES)},
            "createdAt": _stamp(0),
            "updatedAt": _stamp(since),
        }
    )


def _listed(life: Life, at: float) -> list[Mapping[str, Any]]:
    href = f"https://d1.example.com/detections.geojson?Expires=1&Signature={at:.0f}"
    return [
        {
            "id": kind,
            "derivativeProductType": kind,
            "assets": [{"type": "geojson", "href": href}] if at >= ready else [],
        }
        for kind, ready in zip(DerivativeType, life.ready, strict=False)
    ]


def _stamp(seconds: float) -> str:
    moment = datetime.fromtimestamp(EPOCH + seconds, UTC)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _dumped(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, separators=(",", ":")).encode()


class Lived(NamedTuple):
    """What a batch cost."""

    asked: Mapping[str, int]
    """Requests by what was asked."""
    delays: list[float]
    """From when the last derivative was there until the batch said so, of each task that ended well."""
    failed: int
    seconds: float
    """Real ones."""


class Run(NamedTuple):
    """One measurement, for any process."""

    tasks: int
    sigma: float
    types: int
    scenes: bool
    rate_limit: float | None
    in_flight: int
    ceiling: float | None = None

    def lived(self) -> Lived:
        random.seed(5)
        began = time.monotonic()
        lives = draw(self.tasks, self.sigma, self.types)
        service = Service(lives, scenes=self.scenes)
        loop = VirtualLoop()
        with (
            mock.patch("iceye_async.session.exchange", service.exchange),
            _in_step(loop),
            asyncio.Runner(loop_factory=lambda: loop) as runner,
        ):
            delays, failed = runner.run(self._await(lives, loop))
        return Lived(service.asked, delays, failed, time.monotonic() - began)

    async def _await(self, lives: tuple[Life, ...], loop: VirtualLoop) -> tuple[list[float], int]:
        policy = PollPolicy() if self.ceiling is None else PollPolicy(ceiling=self.ceiling)
        delays, failed = [], 0
        async with Client(
            "https://api.example", auth="benchmark", poll=policy, rate_limit=self.rate_limit, in_flight=self.in_flight
        ) as client:
            async for event in client.await_batch(map(id_of, range(len(lives)))):
                if isinstance(event, Finished):
                    delays.append(loop.time() - lives[number_of(event.task_id)].done)
                failed += isinstance(event, Failed)
        return delays, failed
