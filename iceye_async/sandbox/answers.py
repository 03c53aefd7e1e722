"""How an answer goes over the wire: in pieces, and with what a fault does to it."""

import asyncio
import socket
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from aiohttp import HttpVersion11, web
from aiohttp.abc import AbstractStreamWriter
from attrs import define, field, frozen

from .clock import SandboxClock
from .contents import Content
from .faults import LinkFault, Mishap
from .ranges import Span

_BODILESS = frozenset({204, 304})
_CHANGES = web.ResponseKey("changes", Mapping[str, str | None])


@frozen
class Reply:
    """An answer, before anything goes wrong with it."""

    status: int
    headers: Mapping[str, str]
    content: Content
    span: Span = field()

    @span.default
    def _whole(self) -> Span:
        return (0, self.content.size)


@define
class Sent:
    """How far an answer has come."""

    status: int | None = None
    """None until it begins."""
    sent: int = 0
    """Bytes of the body that were given to the network; final when the answer has ended."""


class Sender:
    """Sends answers over the connections of one origin."""

    def __init__(self, clock: SandboxClock) -> None:
        self._clock = clock
        self._under_way: set[asyncio.Transport] = set()

    def watch(self, app: web.Application) -> None:
        """Send the answers of this one. Its handlers must be cancelled when clients hang up."""
        app.on_response_prepare.append(change_headers)
        app.on_shutdown.append(self._hang_up)

    @contextmanager
    def under_way(self, request: web.Request) -> Iterator[None]:
        """In here a request is being answered; if the origin closes, it is over."""
        transport = request.transport
        if transport is not None:
            self._under_way.add(transport)
        try:
            yield
        finally:
            if transport is not None:
                self._under_way.discard(transport)

    async def send(self, request: web.Request, reply: Reply, fault: Mishap, sent: Sent) -> web.StreamResponse:
        """Answer a request that is under way. What was sent counts in `sent`."""
        answer = Answer(request, reply, fault, sent, self._clock)
        if request.transport is not None:  # Else the client hung up already.
            await answer.send(request.transport)
        return answer.response

    async def _hang_up(self, app: web.Application) -> None:  # noqa: ARG002 - a signal passes it
        """End the answers that are under way, for some would never end."""
        for transport in self._under_way:
            transport.abort()


async def change_headers(request: web.Request, response: web.StreamResponse) -> None:  # noqa: ARG001 - a signal passes both
    """The headers of a fault have the last word."""
    for name, value in response.get(_CHANGES, {}).items():
        response.headers.pop(name, None)
        if value is not None:
            response.headers[name] = value


class Answer:
    """One answer on its way, with what goes wrong with it."""

    def __init__(self, request: web.Request, reply: Reply, fault: Mishap, sent: Sent, clock: SandboxClock) -> None:
        self._request, self._reply, self._fault, self._sent, self._clock = request, reply, fault, sent, clock
        self._bodiless = request.method == "HEAD" or reply.status in _BODILESS
        self._chunked = isinstance(fault, LinkFault) and fault.chunked
        self._extra = fault.extra if isinstance(fault, LinkFault) else b""
        self.response = web.StreamResponse(status=reply.status, headers=reply.headers)
        self.response[_CHANGES] = fault.headers

    async def send(self, transport: asyncio.Transport) -> None:
        self._sent.status = self._reply.status
        transport.set_write_buffer_limits(high=0)  # To drain is to wait until the system has everything.
        try:
            writer = await self._send_head()
            if not self._bodiless:
                await self._send_body(transport, writer)
            await writer.drain()
        except ConnectionError:
            pass  # The client hung up.

    async def _send_head(self) -> AbstractStreamWriter:
        response, (start, end) = self.response, self._reply.span
        if self._chunked and self._request.version >= HttpVersion11:
            response.enable_chunked_encoding()
        else:
            response.content_length = end - start
        if self._fault.changes("Content-Length"):
            response.force_close()  # Nothing else tells where the body ends.
        writer = await response.prepare(self._request)
        if writer is None:
            raise ConnectionResetError
        writer.length = None  # What goes beyond the announced end is sent as well.
        await writer.write(b"")
        return writer

    async def _send_body(self, transport: asyncio.Transport, writer: AbstractStreamWriter) -> None:
        (start, end), fault = self._reply.span, self._fault
        if fault.ends is not None and fault.ends <= end - start:
            await self._send_until(start + fault.ends, writer)
            await _break_off(fault, transport, writer)
        elif self.response.chunked:
            await self._send_until(end, writer)
            await writer.write_eof()
            transport.write(self._extra)
        else:
            await self._send_until(end, writer, self._extra)

    async def _send_until(self, end: int, writer: AbstractStreamWriter, extra: bytes = b"") -> None:
        with self._clock.sending():
            await self._send_pieces(end, writer, extra)

    async def _send_pieces(self, end: int, writer: AbstractStreamWriter, extra: bytes) -> None:
        at = self._reply.span[0]
        while at < end:
            piece = self._reply.content.piece(at, end)
            at += len(piece)
            # It is counted first: a client in another thread must not have it before it counts.
            self._sent.sent += len(piece)
            # What is too much comes in one go with the last that is not, so that a client can see it at once.
            await writer.write(bytes(piece) + extra if at == end and extra else piece)
            # A client that takes everything at once must not keep the loop from all others.
            await asyncio.sleep(0)
            self._clock.stir()
        if extra and self._sent.sent == 0:
            await writer.write(extra)


async def _break_off(fault: Mishap, transport: asyncio.Transport, writer: AbstractStreamWriter) -> None:
    if fault.stall is not None:
        await asyncio.Event().wait()  # It is cancelled when the client hangs up, or by `_hang_up`.
    await writer.drain()
    if fault.reset is not None:
        # The second number: linger for no time at all, which makes the close a reset.
        linger = struct.pack("hh" if sys.platform == "win32" else "ii", 1, 0)
        transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    transport.close()
