"""A TCP proxy between a client and a scripted server, which does to each connection what networks do.

The faults are those of toxiproxy, and two that HTTP adds: a body that comes drop by drop, and a header that is cut.
"""

import asyncio
import socket
import struct
from dataclasses import dataclass
from typing import Self
from urllib.parse import urlsplit

_ALL_AT_ONCE = 65_536


@dataclass(frozen=True, kw_only=True)
class Fault:
    """What one connection suffers, all of it on the way back to the client. Times in seconds, amounts in bytes."""

    latency: float = 0.0
    """Before each piece of the answer."""
    bandwidth: float | None = None
    """So much of the answer each second."""
    slices: int = _ALL_AT_ONCE
    """The answer comes in pieces no longer than this."""
    slow_body: float = 0.0
    """Each byte of the body comes so much after the one before; the head comes at once."""
    truncate_after: int | None = None
    """So much of the answer arrives, then the connection is closed as if all were well."""
    cut_header: bool = False
    """The same in the middle of the name of the first header."""
    reset_after: int | None = None
    """So much of the answer is sent on, then the connection is reset."""
    reset_on_reuse: bool = False
    """The first request is answered; the next one on the same connection finds it reset, and goes no further."""
    black_hole: bool = False
    """The connection is accepted, and nothing ever comes of it."""


class FaultProxy:
    """Stands before the server at `upstream`. The nth connection suffers the nth fault; the last stands for all later.

    `url` is where to reach it, `connections` how many were accepted; `idle` is set when the last of them is over.
    """

    def __init__(self, upstream: str, *faults: Fault) -> None:
        self.connections = 0
        self.idle = asyncio.Event()
        self.url = ""
        self._host, self._port = urlsplit(upstream).hostname, urlsplit(upstream).port
        self._faults = list(faults) or [Fault()]
        self._serving: set[asyncio.Task[None]] = set()

    async def __aenter__(self) -> Self:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"
        return self

    async def __aexit__(self, *_: object) -> None:
        self._server.close()
        for task in self._serving:
            task.cancel()
        if self._serving:
            await asyncio.wait(self._serving)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        self.connections += 1
        fault = self._faults.pop(0) if len(self._faults) > 1 else self._faults[0]
        task = asyncio.current_task()
        assert task is not None
        self._serving.add(task)
        self.idle.clear()
        try:
            if fault.black_hole:
                await client.read()
                return
            server, to_server = await asyncio.open_connection(self._host, self._port)
            try:
                await _Connection(fault, client, to_client, server, to_server).run()
            finally:
                to_server.transport.abort()
        except (OSError, EOFError):
            pass  # One side hung up, which ends the connection to the other.
        finally:
            self._serving.discard(task)
            to_client.close()
            if not self._serving:
                self.idle.set()


class _Connection:
    def __init__(
        self,
        fault: Fault,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._fault = fault
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._sent = 0

    async def run(self) -> None:
        """Until either side has had enough."""
        ways = [asyncio.ensure_future(self._pass_requests()), asyncio.ensure_future(self._pass_answers())]
        try:
            done, _ = await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
            await asyncio.gather(*ways, return_exceptions=True)
        for way in done:
            way.result()

    async def _pass_requests(self) -> None:
        while data := await self._client.read(_ALL_AT_ONCE):
            if self._fault.reset_on_reuse and self._sent:
                self._reset()
                return
            self._to_server.write(data)
            await self._to_server.drain()

    async def _pass_answers(self) -> None:
        if self._fault.cut_header:
            await self._send(await self._server.readuntil(b"\r\n") + await self._server.readexactly(4))
            return
        if self._fault.slow_body:
            await self._send(await self._server.readuntil(b"\r\n\r\n"))
        end = self._end
        while data := await self._server.read(self._longest):
            await asyncio.sleep(self._fault.slow_body)
            await self._send(data if end is None else data[: end - self._sent])
            if self._sent == end:
                if self._fault.reset_after is not None:
                    self._reset()
                return

    @property
    def _longest(self) -> int:
        """Of a piece."""
        if self._fault.slow_body:
            return 1
        a_moment = _ALL_AT_ONCE if self._fault.bandwidth is None else max(1, int(self._fault.bandwidth / 50))
        return min(self._fault.slices, a_moment)

    @property
    def _end(self) -> int | None:
        return self._fault.truncate_after if self._fault.reset_after is None else self._fault.reset_after

    async def _send(self, data: bytes) -> None:
        pace = 0.0 if self._fault.bandwidth is None else len(data) / self._fault.bandwidth
        await asyncio.sleep(self._fault.latency + pace)
        self._to_client.write(data)
        await self._to_client.drain()
        self._sent += len(data)

    def _reset(self) -> None:
        sock = self._to_client.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._to_client.transport.abort()
