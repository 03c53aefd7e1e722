"""A link host in bad weather, and the API that gives new links to it: on real sockets, and nothing but this file.

It has one object, and disturbs the requests for it one after the other as a plan says; when the plan is over, the sky
is clear. What was sent is counted by epoch: a new one begins where nothing that was sent before can be of use any more,
for the object was replaced, or a range that was asked for was ignored.
"""

import asyncio
import contextlib
import hashlib
import json
import random
import re
import socket
import struct
import time
from collections.abc import AsyncIterator, Callable, Iterator, Mapping
from dataclasses import dataclass, field
from email.utils import formatdate
from http import HTTPStatus
from typing import NamedTuple, Self
from urllib.parse import urlsplit

from tests.conftest import CANARY

TASK, ITEM, TOKEN = "storm-task", "storm-item", f"{CANARY}-token"
MIB = 2**20
AGAIN = 8 * MIB
"""Bytes that may be sent again for each disturbance."""
IN_VAIN = MIB
"""Bytes that may be on their way when a client hangs up of its own accord, for another connection brings the rest."""
_PIECE = 256 * 1024
_PATIENCE = 30.0
"""Seconds for a download that is over in one, and half of what a test may take."""
_KERNEL = 128 * 1024
"""What the system may hold of an answer that is not sent yet: what is counted as sent nearly is."""

WEIGHTS = {
    "drop": 2,
    "cut head": 1,
    "busy": 3,
    "expire": 3,
    "reset": 6,
    "close": 6,
    "ignore": 1,
    "replace": 1,
}
"""How often each kind of disturbance comes among all."""
SILENT = frozenset({"drop", "cut head", "busy", "expire"})
"""Those without a byte of the object."""
MOST_SILENT = 4
"""How many of a plan may be silent, so that a client with more tries than that can never have had enough."""


@dataclass(frozen=True, kw_only=True)
class Disturbance:
    """What one request suffers. `where`: how far into the body of its answer, from 0 to 1."""

    kind: str
    where: float = 0.0
    reset: bool = False
    """Whether a connection that is dropped before the answer is reset, or closed as if all were well."""
    retry_after: str | None = None


def weather(rng: random.Random, most: int) -> list[Disturbance]:
    """A plan of 1 to `most` disturbances."""
    plan: list[Disturbance] = []
    for _ in range(rng.randint(1, most)):
        silent = sum(found.kind in SILENT for found in plan)
        kinds = [kind for kind in WEIGHTS if kind not in SILENT or silent < MOST_SILENT]
        (kind,) = rng.choices(kinds, [WEIGHTS[kind] for kind in kinds])
        where = rng.choice([0.0, 1.0, *[rng.random() for _ in range(6)]])
        # No pause at all, each time: none said, none asked for, or a date that is over.
        retry_after = rng.choice([None, "0", "Thu, 01 Jan 2015 00:00:00 GMT"])
        plan.append(Disturbance(kind=kind, where=where, reset=rng.random() < 0.5, retry_after=retry_after))
    return plan


def seeded(text: str) -> random.Random:
    """Chance that is the same each time."""
    return random.Random(text)  # noqa: S311 - nobody is to be kept from guessing it


class Version:
    """The object as it is for a while: bytes that nobody else has, and a strong ETag."""

    def __init__(self, seed: str, size: int) -> None:
        # It begins as JSON does: the first bytes of a detection file are looked at.
        self.content = (b"{" + seeded(seed).randbytes(size))[:size]
        self.size = size
        self.sha256 = hashlib.sha256(self.content).hexdigest()
        self.etag = f'"{self.sha256[:32]}"'


@dataclass
class Epoch:
    """What was sent, and how often it was disturbed, since everything had to begin anew."""

    size: int
    why: str = "began"
    sent: int = 0
    disturbances: int = 0
    hung_up: int = 0
    """How often the client did before an answer was over."""

    @property
    def bound(self) -> int:
        """How many bytes may have been sent more than once."""
        return AGAIN * self.disturbances + IN_VAIN * self.hung_up

    @property
    def again(self) -> int:
        """Bytes that were sent more than once."""
        return max(0, self.sent - self.size)


class Request(NamedTuple):
    """The head of a request: `target` is path and query as they came, header names are in lower case."""

    method: str
    target: str
    headers: Mapping[str, str]

    @property
    def span(self) -> tuple[int, int | None] | None:
        """What `Range` asks for: (first, one past the last, or None: to the end)."""
        found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("range", ""))
        return None if found is None else (int(found[1]), int(found[2]) + 1 if found[2] else None)


@dataclass
class Asked:
    """A request for the object, and what came of it; `sent` is bytes of body, `suffered` the disturbance if any."""

    range: str | None
    if_range: str | None
    status: int = 0
    sent: int = 0
    suffered: str = ""


class Hangup(Exception):
    """Nothing more goes over this connection; it was dealt with."""


@dataclass(eq=False)
class Storm:
    """Serves the object of `size` bytes that the seed gives, and disturbs it by the `plan`.

    `pace` is seconds of rest after each piece of an answer. `watch` is called after each piece and each disturbance.
    What it finds, and whatever a client does that none ever may, is in `complaints`.
    """

    seed: str
    size: int
    plan: list[Disturbance] = field(default_factory=list)
    pace: float = 0.0
    watch: Callable[[], None] = lambda: None
    sent: int = 0
    renewals: int = 0
    disturbances: int = 0
    asked: list[Asked] = field(default_factory=list)
    happened: list[object] = field(default_factory=list)
    """All requests for the object, and what tests did meanwhile."""
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.versions = [Version(f"{self.seed}, version 1", self.size)]
        self.epochs = [Epoch(self.size)]
        self._links: dict[str, float] = {}
        self._refused = self._served = 0
        self._rng = seeded(f"{self.seed}, the storm")
        self._goals: list[tuple[int, asyncio.Event]] = []
        self._serving: set[asyncio.Task[None]] = set()
        self._writers: list[asyncio.StreamWriter] = []

    async def __aenter__(self) -> Self:
        self._servers = [await asyncio.start_server(serve, sock=_listening()) for serve in (self._api, self._host)]
        self.url, self._links_at = (
            f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}" for server in self._servers
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        for server in self._servers:
            server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)
        for writer in self._writers:
            writer.transport.abort()
        await asyncio.sleep(0)  # in which the sockets are closed

    # --- what a test sees and does ------------------------------------------------------------------------------------

    @property
    def current(self) -> Version:
        """The object as it is now."""
        return self.versions[-1]

    @property
    def again(self) -> int:
        """Bytes sent more than once, but for those that a new beginning made useless."""
        return sum(epoch.again for epoch in self.epochs)

    def link(self, life: float = 3600.0) -> str:
        """A new link, which lives so many seconds; the older ones still hold."""
        expires = int(time.time() + life)
        query = f"Expires={expires}&Signature={CANARY}-{len(self._links)}~{self._rng.getrandbits(64):x}&Key-Pair-Id=K"
        self._links[query] = expires
        return f"{self._links_at}/a%2Fb/storm.geojson?{query}"

    def expire(self) -> None:
        """No link holds any more."""
        self._links = dict.fromkeys(self._links, 0.0)
        self._refused = self._served = 0

    async def reaches(self, goal: int) -> None:
        """Come back once so many bytes were sent in all."""
        if self.sent < goal:
            reached = asyncio.Event()
            self._goals.append((goal, reached))
            await reached.wait()

    def disturbed(self, by: object = None) -> None:
        """Count a disturbance: one of the plan, or one that a test has made."""
        if by is not None:
            self.happened.append(by)
        self.disturbances += 1
        self.epochs[-1].disturbances += 1
        self._look()

    def story(self) -> Iterator[str]:
        """All that happened, for whoever must find out why."""
        yield f"pace {self.pace}, sizes {[version.size for version in self.versions]}, {self.renewals} renewals"
        yield from (f"{number}. {what}" for number, what in enumerate(self.happened))
        yield from map(repr, self.epochs)
        yield from (f"left of the plan: {left}" for left in self.plan)

    # --- connections --------------------------------------------------------------------------------------------------

    async def _api(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connected(reader, writer, self._list)

    async def _host(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await self._connected(reader, writer, self._give)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answer: object) -> None:
        task = asyncio.current_task()
        assert task is not None
        assert callable(answer)
        self._serving.add(task)
        self._writers.append(writer)
        writer.transport.set_write_buffer_limits(high=0)
        try:
            while True:
                await answer(await _request(reader), writer)
        except (OSError, EOFError, Hangup, asyncio.CancelledError):
            pass  # The client hung up, or the plan did, or the storm is over: nobody else cancels this.
        except Exception as error:  # noqa: BLE001 - a task of its own, which nobody awaits
            self.complaints.append(f"the storm itself broke: {error!r}")
        finally:
            self._serving.discard(task)
            writer.close()

    def _look(self) -> None:
        self.watch()

    # --- the API -----------------------------------------------------------------------------------------------------

    async def _list(self, request: Request, writer: asyncio.StreamWriter) -> None:
        if request.headers.get("authorization") != f"Bearer {TOKEN}":
            self.complaints.append("the API was asked without the token")
        path = f"/api/tasking/v2/tasks/{TASK}/"
        if request.target == f"{path}products":
            body: dict[str, object] = {"data": [], "cursor": ""}
        elif request.target == f"{path}derivatives":
            self.renewals += 1
            # Often enough they live shorter than any margin, and must do all the same.
            assets = [{"type": "geojson", "href": self.link(self._rng.choice([3600.0, 3600.0, 200.0]))}]
            found = {"id": ITEM, "derivativeProductType": "DC_VESSELS", "imageReference": "i", "assets": assets}
            body = {"data": [found]}
        else:
            self.complaints.append(f"the API was asked for {request.target}")
            await _reply(writer, 404, {"Content-Type": "application/json"}, b'{"code": "none", "message": "none"}')
            return
        await _reply(writer, 200, {"Content-Type": "application/json"}, json.dumps(body).encode())

    # --- the link host -----------------------------------------------------------------------------------------------

    async def _give(self, request: Request, writer: asyncio.StreamWriter) -> None:
        asked = Asked(request.headers.get("range"), request.headers.get("if-range"))
        self.asked.append(asked)
        self.happened.append(asked)
        self._judge(request)
        if not self._accepts(request.target):
            self._refused += 1
            asked.status = 403
            await _reply(writer, 403, {"Content-Type": "application/xml"}, _XML)
            return
        fate = self._next(request)
        if fate is None:
            await self._content(request, writer, asked, None)
            return
        asked.suffered = f"{fate.kind} {fate.where:.3f}"
        await self._suffer(fate, request, writer, asked)

    def _judge(self, request: Request) -> None:
        """Complain of what no client may ever send to a link host, or leave out."""
        foreign = {"authorization", "cookie", "proxy-authorization"} & request.headers.keys()
        if foreign:
            self.complaints.append(f"the link host was sent {foreign}")
        if request.headers.get("accept-encoding") != "identity":
            self.complaints.append("the link host was not asked for the bytes as they are")
        if "range" in request.headers and "if-range" not in request.headers:
            self.complaints.append(f"{request.headers['range']} was asked for without If-Range")
        if request.method != "GET" or urlsplit(request.target).path != "/a%2Fb/storm.geojson":
            self.complaints.append(f"{request.method} of {urlsplit(request.target).path}")

    def _accepts(self, target: str) -> bool:
        return self._links.get(urlsplit(target).query, 0.0) > time.time()

    def _next(self, request: Request) -> Disturbance | None:
        """The next of the plan that fits this request."""
        for number, fate in enumerate(self.plan):
            if fate.kind == "ignore" and (request.span is None or not self._still_valid(request)):
                continue
            # A link that was refused is renewed once: the new one must be of use before it may expire too.
            if fate.kind == "expire" and self._served < self._refused:
                continue
            return self.plan.pop(number)
        return None

    async def _suffer(self, fate: Disturbance, request: Request, writer: asyncio.StreamWriter, asked: Asked) -> None:
        match fate.kind:
            case "drop":
                self._end(writer, reset=fate.reset)
            case "cut head":
                head = self._head(request)[0]
                writer.write(head[: 1 + int(fate.where * (len(head) - 2))])
                await writer.drain()
                self._end(writer, reset=fate.reset)
            case "busy":
                self.disturbed()
                asked.status = 503
                said = {} if fate.retry_after is None else {"Retry-After": fate.retry_after}
                await _reply(writer, 503, {"Content-Type": "application/xml", **said}, _XML)
            case "expire":
                self.expire()
                self.disturbed()
                self._refused += 1
                asked.status = 403
                await _reply(writer, 403, {"Content-Type": "application/xml"}, _XML)
            case "ignore":
                self._begin_anew("ignored a range")
                await self._content(Request("GET", "", {}), writer, asked, None)
            case "replace":
                self.versions.append(self._another())
                self._begin_anew("replaced")
                await self._content(request, writer, asked, None)
            case _:
                await self._content(request, writer, asked, fate)

    def _another(self) -> Version:
        """Another object, half the time as long as the first."""
        seed = f"{self.seed}, version {len(self.versions) + 1}"
        other = seeded(seed)
        return Version(seed, self.size if other.random() < 0.5 else int(self.size * 2 * other.random()))

    def _begin_anew(self, why: str) -> None:
        self.epochs[-1].disturbances += 1
        self.epochs.append(Epoch(self.current.size, why))
        self.disturbed()

    def _end(self, writer: asyncio.StreamWriter, *, reset: bool) -> None:
        """The end of a connection, as the plan has it."""
        if reset:
            writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            writer.transport.abort()
        self.disturbed()
        raise Hangup

    def _still_valid(self, request: Request) -> bool:
        return request.headers.get("if-range") in {None, self.current.etag}

    def _head(self, request: Request) -> tuple[bytes, int, tuple[int, int]]:
        """The head of the answer to a request that is not disturbed, its status, and which bytes come after it."""
        version, span = self.current, request.span if self._still_valid(request) else None
        said = {"ETag": version.etag, "Last-Modified": _MODIFIED, "Accept-Ranges": "bytes", "Content-Type": _BYTES}
        first, last = (0, None) if span is None else span
        last = version.size if last is None else min(last, version.size)
        if first >= last and span is not None:
            said |= {"Content-Range": f"bytes */{version.size}", "Content-Length": "0"}
            return _head(416, said), 416, (0, 0)
        if span is not None:
            said["Content-Range"] = f"bytes {first}-{last - 1}/{version.size}"
        status = 200 if span is None else 206
        return _head(status, {**said, "Content-Length": str(last - first)}), status, (first, last)

    async def _content(
        self, request: Request, writer: asyncio.StreamWriter, asked: Asked, fate: Disturbance | None
    ) -> None:
        """The object or a part of it, as far as fate has it."""
        head, asked.status, (first, last) = self._head(request)
        self._served += asked.status != 416
        if fate is not None and last - first < 2:
            # There is nothing between the first byte and the last one.
            fate, asked.suffered = None, ""
        stop = last if fate is None else first + 1 + int(fate.where * (last - first - 2))
        writer.write(head)
        await self._send(writer, asked, self.current, (first, stop))
        if fate is not None:
            self._end(writer, reset=fate.kind == "reset")

    async def _send(self, writer: asyncio.StreamWriter, asked: Asked, version: Version, span: tuple[int, int]) -> None:
        epoch, view = self.epochs[-1], memoryview(version.content)
        for at in range(*span, _PIECE):
            piece = view[at : min(at + _PIECE, span[1])]
            writer.write(piece)
            try:
                await writer.drain()
            except OSError:
                epoch.hung_up += 1
                raise
            for counted in (self, asked, epoch):
                counted.sent += len(piece)
            self._passed()
            await asyncio.sleep(self.pace)
        await writer.drain()

    def _passed(self) -> None:
        self._look()
        for goal in [goal for goal in self._goals if goal[0] <= self.sent]:
            self._goals.remove(goal)
            goal[1].set()


# --- HTTP ---------------------------------------------------------------------------------------------------------

_BYTES = "binary/octet-stream"
_MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
_XML = b"<?xml version='1.0' encoding='UTF-8'?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>"


def _listening() -> socket.socket:
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _KERNEL)
    listening.bind(("127.0.0.1", 0))
    return listening


async def _request(reader: asyncio.StreamReader) -> Request:
    """The next one on a connection; `IncompleteReadError` at its end."""
    start, *lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = start.split(" ")
    headers = (line.partition(":") for line in lines if line)
    return Request(method, target, {name.lower(): value.strip() for name, _, value in headers})


def _head(status: int, headers: Mapping[str, str]) -> bytes:
    lines = {"Date": formatdate(usegmt=True), "x-amz-cf-id": "storm", **headers}
    said = "".join(f"{name}: {value}\r\n" for name, value in lines.items())
    return f"HTTP/1.1 {status} {HTTPStatus(status).phrase}\r\n{said}\r\n".encode("latin-1")


async def _reply(writer: asyncio.StreamWriter, status: int, headers: Mapping[str, str], body: bytes) -> None:
    writer.write(_head(status, {**headers, "Content-Length": str(len(body))}) + body)
    await writer.drain()


@contextlib.asynccontextmanager
async def replayed_by(variable: str, seed: int, storm: Storm) -> AsyncIterator[None]:
    """Whatever fails inside, or hangs, says which seed does it again and what had happened."""
    try:
        async with asyncio.timeout(_PATIENCE):
            yield
    except BaseException as error:
        error.add_note(f"seed {seed}: ICEYE_TORTURE_SEED={seed} {variable}=1 pytest tests/torture does it again")
        error.add_note("\n".join(storm.story()))
        raise
