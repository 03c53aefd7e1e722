"""What do 10,000 waits hold in memory, each by its own `await_derivatives`, and does any of them starve?

One process serves, another waits. Every look hears a 206 with one of two derivatives ready, so every wait goes on.
Printed are how much the waiting process grew, at its worst and once it is settled, and how even the looks are.

    python benchmarks/waiting_memory.py [--waits 10000]
"""

import argparse
import asyncio
import gc
import multiprocessing
import platform
import time

import aiohttp
import psutil
from poll_overhead import serve

from iceye_async import Client, PollPolicy

PAUSE = 10.0


async def measure(base: str, waits: int) -> None:
    process = psutil.Process()
    policy = PollPolicy(first=PAUSE, ceiling=PAUSE)
    async with (
        aiohttp.ClientSession() as http,
        Client(base, auth="benchmark", rate_limit=None, in_flight=64) as client,
    ):

        async def looks() -> list[int]:
            async with http.get(f"{base}/looks") as response:
                counts: list[int] = await response.json()
            return counts[2:] if len(counts) > waits + 1 else [0]

        async def until_all_had(count: int) -> float:
            began, most = time.monotonic(), 0.0
            while (await looks())[0] < count:
                most = max(most, process.memory_info().rss)
                await asyncio.sleep(0.2)
            print(f"{count} looks each, {time.monotonic() - began:.1f} s later")
            return most

        await client.derivatives.get("warm-up-1")
        await client.derivatives.get("warm-up-2")
        gc.collect()
        before = process.memory_info().rss
        tasks = [
            asyncio.create_task(client.await_derivatives(f"changing-{number}", poll=policy)) for number in range(waits)
        ]
        peak = await until_all_had(1)
        peak = max(peak, await until_all_had(3))
        gc.collect()
        settled = process.memory_info().rss
        counts = await looks()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    print(f"looks of each wait: {counts[0]} to {counts[-1]}")
    for name, rss in (("at its worst", peak), ("settled", settled)):
        grown = rss - before
        print(f"memory over the idle client, {name}: {grown / 1e6:.1f} MB, {grown / waits:.0f} bytes a wait")


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--waits", type=int, default=10_000)
    waits = parser.parse_args().waits
    ours, theirs = multiprocessing.Pipe()
    server = multiprocessing.get_context("spawn").Process(target=serve, args=(theirs,), daemon=True)
    server.start()
    print(f"CPython {platform.python_version()}, {waits} waits, each looking every {PAUSE:g} s")
    asyncio.run(measure(f"http://127.0.0.1:{ours.recv()}", waits))
    server.terminate()


if __name__ == "__main__":
    main()
