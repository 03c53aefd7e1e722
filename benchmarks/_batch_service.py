"""The service that `batch.py` polls: a process of its own, as cheap as can be, that counts what it is asked.

The counts are in memory that both processes share, so that reading them costs the polling process nothing. What a task
is told by its id: `changing`, with signatures that change in every body; `unchanged`, the same body each time, both of
a FULFILLED task with one of two derivatives ready; `waiting`, an ACTIVE task whose window opens in days.
"""

import asyncio
import ctypes
import json
import multiprocessing
import os
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from email.utils import formatdate
from multiprocessing.connection import Connection
from typing import Any, NamedTuple
from urllib.parse import parse_qsl

ROOT = b"/api/tasking/v2/tasks"
HOUR, DAY = 3600.0, 86_400.0
PAGE = 50
LONGEST_ID = 36
LISTING = (
    b'{"data":[{"id":"3fa85f64","derivativeProductType":"DC_AIRCRAFT","assets":[{"type":"geojson",'
    b'"href":"https://d1.example.com/aircraft.geojson?Expires=1&Signature=%08d"}]},'
    b'{"id":"7fb95g75","derivativeProductType":"DC_VESSELS","assets":[]}]}'
)


def task_id(kind: str, number: int) -> str:
    """As long as those of the service."""
    return f"{kind}-{number:0{LONGEST_ID - len(kind) - 1}}"


class Crowd(NamedTuple):
    """The tasks that there are: so many of each kind."""

    kinds: Sequence[str]
    size: int

    @property
    def ids(self) -> Iterator[str]:
        return (task_id(kind, number) for kind in self.kinds for number in range(self.size))


class Seen:
    """What the service was asked, since the start or the last `forget()`."""

    def __init__(self, size: int) -> None:
        self.derivatives = _counter()
        self.tasks = _counter()
        self.scenes = _counter()
        self.pages = _counter()
        self.twice = _counter()
        """Tasks whose derivatives were asked for at least twice."""
        self.first, self.last = _moment(), _moment()
        """When the first request came, and the last, on the monotonic clock that both processes have."""
        self._looks = multiprocessing.RawArray(ctypes.c_long, size)
        """By number of the task, whatever its kind."""

    @property
    def requests(self) -> int:
        return sum(count.value for count in (self.derivatives, self.tasks, self.scenes, self.pages))

    def forget(self) -> None:
        """All but how often the derivatives of each task were asked for."""
        for count in (self.derivatives, self.tasks, self.scenes, self.pages):
            count.value = 0

    # --- in the service ----------------------------------------------------------------------------------------

    def arrived(self) -> None:
        self.last.value = time.monotonic()
        if self.requests == 0:
            self.first.value = self.last.value

    def looked(self, number: int) -> None:
        self.derivatives.value += 1
        self._looks[number] += 1
        self.twice.value += self._looks[number] == 2


def _counter() -> Any:
    return multiprocessing.RawValue(ctypes.c_long, 0)


def _moment() -> Any:
    return multiprocessing.RawValue(ctypes.c_double, 0.0)


class Service:
    """Answers with a status and a body."""

    def __init__(self, crowd: Crowd, seen: Seen) -> None:
        self._crowd, self._seen = crowd, seen
        self._listed = [self._task(identity).encode() for identity in crowd.ids]

    def answer(self, target: bytes) -> tuple[bytes, bytes]:
        self._seen.arrived()
        path, _, query = target.partition(b"?")
        if path == ROOT:
            self._seen.pages.value += 1
            return b"200 OK", self._page(dict(parse_qsl(query.decode())))
        identity, _, what = path.removeprefix(ROOT + b"/").partition(b"/")
        kind, _, digits = identity.partition(b"-")
        number = int(digits)
        if what == b"derivatives":
            self._seen.looked(number)
            return self._derivatives(kind)
        if what == b"scene":
            self._seen.scenes.value += 1
            return b"200 OK", json.dumps({"imagingTime": _span(3 * DAY, 3 * DAY + 10)}).encode()
        self._seen.tasks.value += 1
        place = self._crowd.kinds.index(kind.decode()) * self._crowd.size + number
        return b"200 OK", self._listed[place]

    def _derivatives(self, kind: bytes) -> tuple[bytes, bytes]:
        if kind == b"waiting":
            return b"404 Not Found", b'{"code":"NOT_FOUND","message":"not found"}'
        signature = 0 if kind == b"unchanged" else self._seen.derivatives.value
        return b"206 Partial Content", LISTING % signature

    def _page(self, query: dict[str, str]) -> bytes:
        first = int(query.get("cursor", "0"))
        last = first + min(int(query.get("limit", "10")), PAGE)
        cursor = str(last) if last < len(self._listed) else ""
        return b'{"data":[%s],"cursor":"%s"}' % (b",".join(self._listed[first:last]), cursor.encode())

    def _task(self, identity: str) -> str:
        waits = identity.startswith("waiting")
        document = {
            "id": identity,
            "contractID": "benchmark",
            "status": "ACTIVE" if waits else "FULFILLED",
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest": {"lat": 60.2, "lon": 24.9},
            "acquisitionWindow": _span(2 * DAY, 4 * DAY) if waits else _span(-DAY, -HOUR),
            "createdAt": _stamp(-2 * DAY),
            "updatedAt": _stamp(-HOUR),
        }
        return json.dumps(document, separators=(",", ":"))


_STARTED = datetime.now(UTC)


def _stamp(seconds: float) -> str:
    return (_STARTED + timedelta(seconds=seconds)).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _span(start: float, end: float) -> dict[str, str]:
    return {"start": _stamp(start), "end": _stamp(end)}


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Callable[[bytes], tuple[bytes, bytes]], latency: float) -> None:
        self._answer, self._latency = answer, latency
        self._rest = b""
        self._loop = asyncio.get_running_loop()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._rest += data
        while b"\r\n\r\n" in self._rest:
            head, _, self._rest = self._rest.partition(b"\r\n\r\n")
            status, body = self._answer(head.split(b" ", 2)[1])
            reply = b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\nDate: %s\r\n\r\n%s" % (
                status,
                len(body),
                formatdate(usegmt=True).encode(),
                body,
            )
            if self._latency:
                self._loop.call_later(self._latency, self._transport.write, reply)
            else:
                self._transport.write(reply)


def _serve(pipe: Connection, crowd: Crowd, seen: Seen, latency: float) -> None:
    pin(0)
    service = Service(crowd, seen)

    async def run() -> None:
        loop = asyncio.get_running_loop()
        server = await loop.create_server(lambda: _Connection(service.answer, latency), "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


@contextmanager
def served(crowd: Crowd, latency: float = 0.0) -> Iterator[tuple[str, Seen]]:
    """The address of a service with these tasks, on a core of its own where there are two; and what it is asked."""
    seen = Seen(crowd.size)
    ours, theirs = multiprocessing.Pipe()
    arguments = (theirs, crowd, seen, latency)
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=arguments, daemon=True)
    process.start()
    try:
        pin(1)
        yield f"http://127.0.0.1:{ours.recv()}", seen
    finally:
        process.terminate()
        process.join()


def pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})
