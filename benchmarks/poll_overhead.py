"""What does a look at derivatives cost through the SDK, beside a bare aiohttp request for the same body?

One process serves, another polls, each on a core of its own where there are two. The ways are run in turn, round after
round, and each round gives one ratio; the medians of the ratios are printed. Only the CPU time of the polling process
counts.

    python benchmarks/poll_overhead.py [--rounds 60] [--looks 1024]
"""

import argparse
import asyncio
import json
import multiprocessing
import os
import platform
import statistics
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from multiprocessing.connection import Connection
from typing import ClassVar

import aiohttp

from iceye_async import Client, PollPolicy

IN_FLIGHT = 64


class Server(asyncio.Protocol):
    """The cheapest server that keeps connections alive. Signatures change in every body, unless the path says not."""

    looks = 0
    by_path: ClassVar[Counter[bytes]] = Counter()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.rest = b""

    def data_received(self, data: bytes) -> None:
        self.rest += data
        while b"\r\n\r\n" in self.rest:
            head, _, self.rest = self.rest.partition(b"\r\n\r\n")
            path = head.split(b" ", 2)[1]
            if path == b"/looks":
                self.answer(b"200 OK", json.dumps(sorted(Server.by_path.values())).encode())
                continue
            Server.looks += 1
            Server.by_path[path] += 1
            signature = 0 if b"unchanged" in path else Server.looks
            done = b"done" in path
            href = f"https://d1.example.com/aircraft.geojson?Expires=1&Signature={signature:08d}"
            document = {
                "data": [
                    {
                        "id": "3fa85f64",
                        "derivativeProductType": "DC_AIRCRAFT",
                        "assets": [{"type": "geojson", "href": href}],
                    },
                    {"id": "7fb95g75", "derivativeProductType": "DC_VESSELS", "assets": []},
                ]
            }
            body = json.dumps(document, separators=(",", ":")).encode()
            self.answer(b"200 OK" if done else b"206 Partial Content", body)

    def answer(self, status: bytes, body: bytes) -> None:
        self.transport.write(
            b"HTTP/1.1 %s\r\nContent-Type: application/json\r\nContent-Length: %d\r\n"
            b"Date: Fri, 20 Nov 2026 12:00:00 GMT\r\n\r\n%s" % (status, len(body), body)
        )


def serve(pipe: Connection) -> None:
    _pin(0)

    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Server, "127.0.0.1", 0, backlog=1024)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(run())


def _pin(core: int) -> None:
    if hasattr(os, "sched_setaffinity") and (os.cpu_count() or 1) > 1:
        os.sched_setaffinity(0, {core})


async def _spread(looks: int, look: Callable[[str], Awaitable[object]], kind: str) -> None:
    """So many looks by IN_FLIGHT workers, each at tasks of its own."""

    async def worker(number: int) -> None:
        for turn in range(looks // IN_FLIGHT):
            await look(f"{kind}-{number}-{turn % 20}")

    await asyncio.gather(*(worker(number) for number in range(IN_FLIGHT)))


async def measure(base: str, rounds: int, looks: int) -> None:
    policy = PollPolicy(first=1e-6, ceiling=1e-6)

    async def bare(kind: str) -> None:
        async def look(task: str) -> None:
            url = f"{base}/api/tasking/v2/tasks/{task}/derivatives"
            async with http.get(url, headers={"Authorization": "Bearer benchmark"}) as response:
                json.loads(await response.read())

        await _spread(looks, look, kind)

    async def get(kind: str) -> None:
        await _spread(looks, client.derivatives.get, kind)

    async def wait(kind: str) -> None:
        async def worker(number: int) -> None:
            left = looks // IN_FLIGHT
            async for _ in client.await_derivatives(f"{kind}-{number}", poll=policy):
                left -= 1
                if left == 0:
                    break

        await asyncio.gather(*(worker(number) for number in range(IN_FLIGHT)))

    ways: dict[str, tuple[Callable[[str], Awaitable[None]], str]] = {
        "bare aiohttp get + read + json.loads": (bare, "changing"),
        "client.derivatives.get": (get, "changing"),
        "await_derivatives, a look": (wait, "changing"),
        "await_derivatives, unchanged body": (wait, "unchanged"),
        "bare aiohttp again (control)": (bare, "changing"),
    }
    cpu: dict[str, list[float]] = {name: [] for name in ways}
    wall: dict[str, list[float]] = {name: [] for name in ways}
    async with (
        aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as http,
        Client(base, auth="benchmark", rate_limit=None, in_flight=IN_FLIGHT) as client,
    ):
        for round_number in range(rounds + 1):
            for name, (way, kind) in ways.items():
                began, clock = time.process_time(), time.perf_counter()
                await way(kind)
                if round_number > 0:
                    cpu[name].append((time.process_time() - began) / looks * 1e6)
                    wall[name].append(looks / (time.perf_counter() - clock))
    first = next(iter(ways))
    print(f"{'way':<40}{'CPU us':>9}{'x bare':>8}{'spread':>16}{'per s':>9}")
    for name, samples in cpu.items():
        ratios = sorted(mine / bare_ for mine, bare_ in zip(samples, cpu[first], strict=True))
        spread = f"{ratios[len(ratios) // 10]:.2f} to {ratios[-1 - len(ratios) // 10]:.2f}"
        print(
            f"{name:<40}{statistics.median(samples):>9.1f}{statistics.median(ratios):>8.3f}{spread:>16}"
            f"{statistics.median(wall[name]):>9.0f}"
        )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=60)
    parser.add_argument("--looks", type=int, default=1024)
    options = parser.parse_args()
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    port = ours.recv()
    _pin(1)
    cores = os.cpu_count()
    print(f"CPython {platform.python_version()}, aiohttp {aiohttp.__version__}, {cores} cores, {IN_FLIGHT} in flight")
    print(f"a body of two derivatives, one of them ready; medians of {options.rounds} rounds of {options.looks} looks")
    asyncio.run(measure(f"http://127.0.0.1:{port}", options.rounds, options.looks))
    server.terminate()


if __name__ == "__main__":
    main()
