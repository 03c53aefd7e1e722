"""A link host on raw sockets: it serves files with ranges as a good one does, and breaks each answer as it is told to.

What a web framework would never send is sent here: a wrong `Content-Range`, two lengths, a body that ends too late.
"""

import asyncio
import contextlib
import fcntl
import inspect
import re
import socket
import struct
import termios
from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Self
from urllib.parse import urlsplit

MODIFIED = "Thu, 01 Jan 2026 00:00:00 GMT"
REQUEST_ID = "k4Vq-the-request-id=="
DENIED = (
    b'<?xml version="1.0" encoding="UTF-8"?><Error><Code>AccessDenied</Code><Message>Access denied</Message></Error>'
)
_PIECE = 65_536


@dataclass(frozen=True)
class Stored:
    """A file on the link host. `size` and `read(start, stop)` stand for its bytes where there are too many of them."""

    body: bytes = b""
    etag: str | None = '"e1"'
    modified: str | None = MODIFIED
    type: str | None = "binary/octet-stream"
    virtual: int | None = None
    read: Callable[[int, int], bytes] | None = None

    @property
    def size(self) -> int:
        return len(self.body) if self.virtual is None else self.virtual

    def part(self, start: int, stop: int) -> bytes:
        return self.body[start:stop] if self.read is None else self.read(start, stop)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one request suffers. Amounts are bytes of this answer's body."""

    status: int | None = None
    """This status, and `body`, instead of the file."""
    headers: Mapping[str, str | None] = field(default_factory=dict)
    """Put into the answer, or taken out of it where None."""
    doubled: tuple[tuple[str, str], ...] = ()
    """Headers that come besides those that are there."""
    body: bytes | None = None
    """Sent instead of the file's bytes."""
    stored: Stored | None = None
    """Sent instead of the file that is there."""
    ignore_range: bool = False
    ignore_condition: bool = False
    """If-Range is not looked at."""
    shift: int = 0
    """The part that is sent, and its Content-Range, begin so much later than asked for."""
    shorten: int = 0
    """And end so much earlier."""
    chunked: bool = False
    endless: bool = False
    """Without a length; the body ends where the connection does."""
    extra: bytes = b""
    """After the announced end of the body, in one piece with its last bytes."""
    late: bool = False
    """`extra` comes by itself, when the body is with the client."""
    cut: int | None = None
    """After so much the connection is closed as if all were well."""
    reset: int | None = None
    """After so much the connection is reset, once the client has all of it."""
    stall: int | None = None
    """After so much nothing more comes."""
    drip: tuple[int, float] | None = None
    """So much, then a pause of so many seconds, and again."""
    pause: int = 0
    then: Callable[[], Awaitable[None] | None] | None = None
    """Called when `pause` bytes of the body have been sent."""
    raw: bytes | None = None
    """The whole answer, then the connection is closed."""
    raw_reset: bool = False
    """Or reset."""


@dataclass
class Asked:
    """A request as it came, and how much of a body it was sent."""

    method: str
    target: str
    headers: list[tuple[str, str]]
    status: int | None = None
    sent: int = 0
    turn: Turn = field(default_factory=Turn, repr=False)

    def header(self, name: str) -> str | None:
        return next((value for key, value in self.headers if key == name.lower()), None)

    @property
    def range(self) -> str | None:
        return self.header("range")

    @property
    def if_range(self) -> str | None:
        return self.header("if-range")

    @property
    def start(self) -> int:
        """The first byte that was asked for."""
        return 0 if self.range is None else int(self.range.removeprefix("bytes=").partition("-")[0])


class LinkHost:
    """Files by their path. The nth GET suffers the nth of `turns`, later ones `ever`; HEAD is answered well.

    `judge` goes before them, where it gives a turn. A link for which `allows` is false gets the 403 of a signature that
    is not accepted. After `enough` requests there is nothing but 404, for those who go round in circles.
    """

    def __init__(self) -> None:
        self.url = ""
        self.heard: list[Asked] = []
        self.files: dict[str, Stored] = {}
        self.turns: list[Turn] = []
        self.ever = Turn()
        self.allows: Callable[[str], bool] = lambda target: True
        self.judge: Callable[[Asked], Turn | None] = lambda asked: None
        self.denied = Turn(status=403, headers={"X-Amz-Cf-Id": REQUEST_ID, "Content-Type": "text/xml"}, body=DENIED)
        self.enough = 200
        self._serving: dict[asyncio.Task[None], asyncio.StreamWriter] = {}

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for writer in self._serving.values():
            writer.transport.abort()
        if self._serving:
            await asyncio.wait(self._serving)

    @property
    def sent(self) -> int:
        """Bytes of bodies."""
        return sum(asked.sent for asked in self.heard)

    @property
    def gets(self) -> list[Asked]:
        return [asked for asked in self.heard if asked.method == "GET"]

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._serving[task] = writer
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * _PIECE)
        writer.transport.set_write_buffer_limits(_PIECE)
        try:
            while await self._answer(await _request(reader), reader, writer):
                pass
        except (OSError, EOFError):
            pass  # The client hung up.
        finally:
            del self._serving[task]
            writer.close()

    async def _answer(self, asked: Asked, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """Whether the connection is good for another request."""
        self.heard.append(asked)
        turn = asked.turn = self._turn(asked)
        if turn.raw is not None:
            writer.write(turn.raw)
            await _received(writer, reader)
            if turn.raw_reset:
                _reset(writer)
            return False
        status, headers, body = self._head(asked, turn)
        asked.status = status
        lines = [f"HTTP/1.1 {status} Whatever", *(f"{name}: {value}" for name, value in headers), "", ""]
        writer.write("\r\n".join(lines).encode("latin-1"))
        if asked.method == "HEAD":
            await writer.drain()
            return True
        return await self._send(asked, turn, body, reader, writer)

    def _turn(self, asked: Asked) -> Turn:
        if asked.method == "HEAD":
            return Turn()
        if len(self.heard) > self.enough:
            return Turn(status=404)
        if not self.allows(asked.target):
            return self.denied
        if (judged := self.judge(asked)) is not None:
            return judged
        return self.turns.pop(0) if self.turns else self.ever

    def _head(self, asked: Asked, turn: Turn) -> tuple[int, list[tuple[str, str]], "_Part"]:
        stored = turn.stored or self.files.get(urlsplit(asked.target).path)
        if turn.status is not None or stored is None:
            status, part = turn.status or 404, _Part(Stored(turn.body or b""), 0, len(turn.body or b""))
            headers: dict[str, str | None] = {"Content-Type": "application/xml"}
        else:
            status, part, headers = _found(asked, stored, turn)
        if turn.body is not None:
            part = _Part(Stored(turn.body), 0, len(turn.body))
        if turn.chunked:
            headers["Transfer-Encoding"] = "chunked"
        elif turn.endless:
            headers["Connection"] = "close"
        else:
            headers["Content-Length"] = str(part.stop - part.start)
        headers |= turn.headers
        if headers.get("Content-Range"):
            headers["Content-Range"] = _filled(str(headers["Content-Range"]), part)
        return status, [*((k, v) for k, v in headers.items() if v is not None), *turn.doubled], part

    async def _send(
        self, asked: Asked, turn: Turn, part: "_Part", reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        ends = [end for end in (turn.cut, turn.reset, turn.stall) if end is not None]
        stop = min(part.stop, part.start + ends[0]) if ends else part.stop
        at, told = part.start, turn.then is None
        while True:
            if not told and turn.then is not None and at - part.start >= turn.pause:
                told = True
                await _received(writer, reader)
                if inspect.isawaitable(said := turn.then()):
                    await said
            if at >= stop:
                break
            size = _PIECE if turn.drip is None else turn.drip[0]
            if not told:
                size = min(size, max(turn.pause - (at - part.start), 1))
            piece = part.stored.part(at, min(at + size, stop))
            written = b"%x\r\n%b\r\n" % (len(piece), piece) if turn.chunked else piece
            if at + len(piece) == part.stop and not (turn.chunked or turn.late):
                written += turn.extra
            writer.write(written)
            await writer.drain()
            at += len(piece)
            asked.sent += len(piece)
            if turn.drip is not None:
                await asyncio.sleep(turn.drip[1])
        if turn.reset is not None:
            await _received(writer, reader)
            _reset(writer)
        if turn.stall is not None:
            await reader.read()
        if ends:
            return False
        if turn.chunked:
            writer.write(b"0\r\n\r\n" + turn.extra)
        elif turn.late:
            await _received(writer, reader)
            writer.write(turn.extra)
        await writer.drain()
        return not (turn.endless or turn.headers.get("Connection") == "close")


@dataclass(frozen=True)
class _Part:
    stored: Stored
    start: int
    stop: int


def _found(asked: Asked, stored: Stored, turn: Turn) -> tuple[int, _Part, dict[str, str | None]]:
    """What a good host answers. It knows single ranges, and their condition."""
    size = stored.size
    headers = {
        "ETag": stored.etag,
        "Last-Modified": stored.modified,
        "Content-Type": stored.type,
        "Accept-Ranges": "bytes",
    }
    asks = re.fullmatch(r"bytes=(\d+)-(\d*)", asked.range or "")
    same = asked.if_range in {None, stored.etag, stored.modified} and not (asked.if_range or "").startswith("W/")
    if asks is None or turn.ignore_range or not (same or turn.ignore_condition):
        return 200, _Part(stored, 0, size), headers
    start, stop = int(asks[1]), min(int(asks[2]) + 1 if asks[2] else size, size)
    if start >= stop:
        return 416, _Part(Stored(), 0, 0), {"Content-Range": f"bytes */{size}"}
    start, stop = min(start + turn.shift, stop - 1), max(stop - turn.shorten, start + 1)
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{size}"
    return 206, _Part(stored, start, stop), headers


def _filled(template: str, part: _Part) -> str:
    """`{start}`, `{last}` and `{size}` are those of the answer; the others are one more or one less."""
    start, last, size = part.start, part.stop - 1, part.stored.size
    near = {"before": start - 1, "after": start + 1, "short": last - 1, "beyond": last + 1}
    return template.format(start=start, last=last, size=size, larger=size + 1, smaller=size - 1, **near)


async def _request(reader: asyncio.StreamReader) -> Asked:
    lines = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
    method, target, _ = lines[0].split(" ")
    headers = [(name.lower(), value.strip()) for name, _, value in (line.partition(":") for line in lines[1:] if line)]
    return Asked(method, target, headers)


async def _received(writer: asyncio.StreamWriter, reader: asyncio.StreamReader) -> None:
    """Once the client's side has all that was written: a reset throws away what has not arrived."""
    await writer.drain()
    sock = writer.get_extra_info("socket")
    while not (reader.at_eof() or writer.transport.is_closing()):
        waiting = struct.unpack("i", fcntl.ioctl(sock, termios.TIOCOUTQ, b"\0\0\0\0"))[0]
        if not waiting and not writer.transport.get_write_buffer_size():  # type: ignore[attr-defined]
            return
        await asyncio.sleep(0.001)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError):
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    writer.transport.abort()


def improper(heard: Iterable[Asked]) -> list[tuple[str, str]]:
    """Headers that no link host may ever get, and encodings that were not to be asked for."""
    forbidden = {"authorization", "cookie", "proxy-authorization", "referer"}
    found = [pair for asked in heard for pair in asked.headers if pair[0] in forbidden or "c4n4ry-token" in pair[1]]
    encodings = [asked.header("accept-encoding") for asked in heard]
    return found + [("accept-encoding", str(value)) for value in encodings if value != "identity"]
