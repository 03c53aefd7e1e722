"""What does following thousands of tasks cost, in one `await_batch`?

cpu: CPU of a look, beside a bare aiohttp request for the same body, and beside the loops that are written by hand: an
  asyncio task for each ICEYE task, a semaphore, a time-out, `r.json()`, a sleep. Ways in turn, round after round; each
  round gives one ratio, and the medians are printed.
memory: what tasks hold while nothing happens, and how long it takes to add them; each number in a fresh process.
scale: CPU of a look, by the number of tasks, over HTTP and without it: what is left then is the scheduler and the SDK.
rate: how much of the rate limit is used where there is always something to ask, and the busiest second.
life: requests, and seconds to notice, of a batch of tasks from RECEIVED to derivatives, beside a loop for each that
  asks every 30 s. In virtual time, by the model of `task_life.py`; requests for pages of tasks are counted too.

One process serves, another polls, each on a core of its own where there are two. Only the CPU time of the polling
process counts, that of the journal's thread included; a look is a request that reached the service. What is measured
begins when all tasks have been asked a few times: adding them, and telling of their first derivatives, is left out.

    python benchmarks/batch.py [cpu] [memory] [scale] [rate] [life] [--rounds 30] [--looks 2048] [--tasks 5000]
        [--sizes 1000 10000 100000]
"""

import argparse
import asyncio
import contextlib
import gc
import itertools
import json
import logging
import multiprocessing
import os
import platform
import statistics
import time
from bisect import bisect_left
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any, NamedTuple, ParamSpec, TypeVar
from unittest import mock

import aiohttp
import psutil
from _batch_life import LATENCY, Lived, Run
from _batch_service import LISTING, Crowd, Seen, Service, pin, served, task_id
from multidict import CIMultiDict, CIMultiDictProxy
from task_life import CLOSES, EPOCH, OPENS, draw, fixed, p90

from iceye_async import Client, PollPolicy
from iceye_async.exchange import exchange
from iceye_async.protocol.replies import Reply

P = ParamSpec("P")
R = TypeVar("R")

IN_FLIGHT = 64
WATCHES = 256
"""Tasks that are polled to measure a look."""
ALWAYS = PollPolicy(first=1e-6, ceiling=1e-6)
"""Each task is due again as soon as it has been asked."""
HEADERS = {"Authorization": "Bearer benchmark"}
LOOKS_ALONE, LOOKS_OVER_HTTP = 50_000, 10_000
"""In a measurement of scale."""
SETTLED = 4
"""Requests for each task after which its first derivatives have been told of, and the journal has nothing to write."""
INTERVAL = 30.0
FREE = 1000.0
"""A rate limit that never makes anybody wait for long."""
# Each run is stopped, and each time the batch says how to go on.
logging.getLogger("iceye_async").setLevel(logging.ERROR)
QUESTIONS = ("cpu", "memory", "scale", "rate", "life")


# --- a stretch of looks --------------------------------------------------------------------------------------------


class Stretch(NamedTuple):
    """What some looks cost."""

    cpu: float
    """Microseconds of CPU for each."""
    per_second: float


async def stretch(drive: Coroutine[Any, Any, object], looks: Callable[[], int], warm: int, least: int) -> Stretch:
    """Let it run for `warm` looks, measure at least so many more, and stop it."""
    async with _running(drive) as task:
        await _until(task, looks, looks() + warm)
        first, cpu, wall = looks(), time.process_time(), time.perf_counter()
        await _until(task, looks, first + least)
        count, cpu, wall = looks() - first, time.process_time() - cpu, time.perf_counter() - wall
    return Stretch(cpu / count * 1e6, count / wall)


@contextlib.asynccontextmanager
async def _running(drive: Coroutine[Any, Any, object]) -> AsyncIterator[asyncio.Task[object]]:
    task = asyncio.create_task(drive)
    try:
        yield task
    finally:
        task.cancel()
        await asyncio.wait([task])


async def _until(task: asyncio.Task[object], looks: Callable[[], int], count: int) -> None:
    while looks() < count:
        if task.done():
            raise RuntimeError(f"it ended while it was to be measured: {await task!r}")
        await asyncio.sleep(0.02)


def url_of(base: str, task: str) -> str:
    return f"{base}/api/tasking/v2/tasks/{task}/derivatives"


async def bare(
    base: str, http: aiohttp.ClientSession, read: Callable[[bytes], object] = len, size: int = WATCHES
) -> None:
    """`IN_FLIGHT` workers that do nothing but ask, about one task after the other."""

    async def worker(number: int) -> None:
        for turn in itertools.count(number, IN_FLIGHT):
            url = url_of(base, task_id("changing", turn % size))
            async with http.get(url, headers=HEADERS) as response:
                read(await response.read())

    await asyncio.gather(*(worker(number) for number in range(IN_FLIGHT)))


async def by_hand(base: str, http: aiohttp.ClientSession) -> None:
    """What is written without an SDK: a task for each, and a semaphore."""
    slots = asyncio.Semaphore(IN_FLIGHT)

    async def watch(task: str) -> list[Any]:
        while True:
            async with slots, asyncio.timeout(60), http.get(url_of(base, task), headers=HEADERS) as response:
                listed: list[Any] = (await response.json())["data"] if response.status in {200, 206} else []
            if listed and all(derivative["assets"] for derivative in listed):
                return listed
            await asyncio.sleep(1e-6)

    await asyncio.gather(*(watch(task_id("changing", number)) for number in range(WATCHES)))


async def batch(client: Client, kind: str, size: int, policy: PollPolicy = ALWAYS) -> None:
    waiting = client.await_batch((task_id(kind, number) for number in range(size)), poll=policy)
    try:
        async for _ in waiting:
            pass
    finally:
        waiting.close()


# --- cpu -----------------------------------------------------------------------------------------------------------


async def cpu(rounds: int, looks: int) -> None:
    print(
        f"a body of two derivatives, one of them ready; medians of {rounds} rounds of {looks} looks at {WATCHES} tasks"
    )
    with served(Crowd(("changing", "unchanged"), WATCHES)) as (base, seen):
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as http,
            Client(base, auth="benchmark", rate_limit=None, in_flight=IN_FLIGHT) as client,
        ):
            ways: dict[str, Callable[[], Coroutine[Any, Any, None]]] = {
                "bare aiohttp get + read": lambda: bare(base, http),
                "bare aiohttp get + read + json.loads": lambda: bare(base, http, json.loads),
                "gather of loops": lambda: by_hand(base, http),
                "await_batch, a look": lambda: batch(client, "changing", WATCHES),
                "await_batch, unchanged body": lambda: batch(client, "unchanged", WATCHES),
                "bare aiohttp again (control)": lambda: bare(base, http),
            }
            found: dict[str, list[Stretch]] = {name: [] for name in ways}
            for turn in range(rounds + 1):
                for name, way in ways.items():
                    one = await stretch(way(), lambda: seen.requests, 2 * SETTLED * WATCHES, looks)
                    if turn > 0:
                        found[name].append(one)
    print(f"{'way':<40}{'CPU us':>9}{'x bare':>8}{'spread':>16}{'per s':>9}")
    against = next(iter(found.values()))
    for name, samples in found.items():
        ratios = sorted(mine.cpu / theirs.cpu for mine, theirs in zip(samples, against, strict=True))
        spread = f"{ratios[len(ratios) // 10]:.2f} to {ratios[-1 - len(ratios) // 10]:.2f}"
        print(
            f"{name:<40}{statistics.median(each.cpu for each in samples):>9.1f}{statistics.median(ratios):>8.3f}"
            f"{spread:>16}{statistics.median(each.per_second for each in samples):>9.0f}"
        )


# --- memory --------------------------------------------------------------------------------------------------------

QUIET = 3.0
"""Real seconds without a request, after which all are taken to wait."""
PATIENCE = 1200.0
SITUATIONS = {"waiting": "not imaged yet", "changing": "one of two ready"}


class Memory(NamedTuple):
    adding: float
    """Seconds until the first request."""
    peak: int
    """Bytes over import, at their most."""
    settled: int
    """Bytes over import, while all wait."""
    each: float
    """The same over the idle client, for each task."""
    requests: int
    seconds: float
    """Until all were waiting."""
    waiting: int


def memory(sizes: Sequence[int]) -> None:
    print("peak and settled: resident memory over import, in MB; a task: what each adds to the idle client, in bytes")
    print(
        f"{'':<20}{'tasks':>9}{'add, s':>9}{'peak':>8}{'settled':>9}{'a task':>8}{'requests':>11}{'in s':>7}"
        f"{'waiting':>9}"
    )
    for kind, name in SITUATIONS.items():
        found = [apart(held, kind, size) for size in sizes]
        for size, one in zip(sizes, found, strict=True):
            print(
                f"{name:<20}{size:>9,}{one.adding:>9.2f}{one.peak / 1e6:>8.1f}{one.settled / 1e6:>9.1f}{one.each:>8.0f}"
                f"{one.requests:>11,}{one.seconds:>7.1f}{one.waiting:>9,}"
            )
        for (few, less), (many, more) in itertools.pairwise(zip(sizes, found, strict=True)):
            each = (more.settled - less.settled) / (many - few)
            print(f"    from {few:,} to {many:,}: {each:.0f} bytes for each more")


def held(kind: str, size: int) -> Memory:
    """What tasks hold of this kind, which are asked until there is nothing left to ask for the time being."""
    process = psutil.Process()
    gc.collect()
    imported = process.memory_info().rss
    with served(Crowd((kind,), size)) as (base, seen):
        return asyncio.run(_held(kind, size, base, seen, imported))


async def _held(kind: str, size: int, base: str, seen: Seen, imported: int) -> Memory:
    process = psutil.Process()
    async with Client(base, auth="benchmark", rate_limit=None, in_flight=IN_FLIGHT) as client:
        await client.tasks.get(task_id(kind, 0))
        seen.forget()
        gc.collect()
        idle = process.memory_info().rss
        # Everybody is asked twice: once for the first time, and once more at the pause's end, which is far enough away
        # for all to be asked before it.
        policy = PollPolicy() if kind == "waiting" else PollPolicy(first=5 + size / 400, ceiling=5 + size / 400)
        began = time.monotonic()
        waiting = client.await_batch((task_id(kind, number) for number in range(size)), poll=policy)

        async def drive() -> None:
            try:
                async for _ in waiting:
                    pass
            finally:
                waiting.close()

        async with _running(drive()) as task:
            while not (_is_quiet(seen) if kind == "waiting" else seen.twice.value == size):
                if task.done() or time.monotonic() > began + PATIENCE:
                    raise RuntimeError(f"after {seen.requests} requests it does not wait")
                await asyncio.sleep(0.1)
            seconds, first, requests = time.monotonic() - began, seen.first.value, seen.requests
            peak = _most_resident()
            gc.collect()
            settled = process.memory_info().rss
            left = len(waiting.latest.waiting)
        return Memory(
            first - began, peak - imported, settled - imported, (settled - idle) / size, requests, seconds, left
        )


def _is_quiet(seen: Seen) -> bool:
    return seen.requests > 0 and time.monotonic() > seen.last.value + QUIET


def _most_resident() -> int:
    """Bytes, of this process."""
    status = Path("/proc/self/status").read_text()
    return int(status.partition("VmHWM:")[2].split()[0]) * 1024


# --- scale ---------------------------------------------------------------------------------------------------------


def scale(sizes: Sequence[int], rounds: int) -> None:
    print(f"CPU of a look in microseconds, medians of {rounds} runs; x bare: beside bare aiohttp, at as many tasks")
    print(f"{'tasks':>9}{'without HTTP':>14}{'x the fewest':>14}{'over HTTP':>12}{'x bare':>9}")
    inside: dict[int, list[float]] = {size: [] for size in sizes}
    outside: dict[int, list[tuple[float, float]]] = {size: [] for size in sizes}
    for _ in range(rounds):
        for size in sizes:
            inside[size].append(apart(alone, size))
            outside[size].append(apart(over_http, size))
    for size in sizes:
        ratio = statistics.median(mine / least for mine, least in zip(inside[size], inside[sizes[0]], strict=True))
        mine, against = (statistics.median(column) for column in zip(*outside[size], strict=True))
        print(f"{size:>9,}{statistics.median(inside[size]):>14.1f}{ratio:>14.2f}{mine:>12.1f}{against:>9.3f}")


def alone(size: int) -> float:
    """Microseconds of a look, where the answer is there as soon as it is asked for."""
    service = Service(Crowd(("changing",), size), Seen(size))
    headers = CIMultiDictProxy(CIMultiDict({"Content-Type": "application/json"}))
    looks = 0

    async def at_once(_http: Any, _method: str, url: Any, **_: object) -> Reply:
        nonlocal looks
        # As a network would: whoever asks is not the one who goes on.
        await asyncio.sleep(0)
        if url.raw_path.endswith("/derivatives"):
            looks += 1
            return Reply(206, headers, LISTING % looks, EPOCH)
        status, body = service.answer(url.raw_path_qs.encode())
        return Reply(int(status[:3]), headers, body, EPOCH)

    async def measured() -> float:
        async with Client("https://api.example", auth="benchmark", rate_limit=None, in_flight=IN_FLIGHT) as client:
            one = await stretch(batch(client, "changing", size), lambda: looks, SETTLED * size, LOOKS_ALONE)
        return one.cpu

    pin(1)
    with mock.patch("iceye_async.session.exchange", at_once):
        return asyncio.run(measured())


def over_http(size: int) -> tuple[float, float]:
    """The same over HTTP; and how many times as much as bare aiohttp, before it, at as many tasks."""

    async def measured(base: str, seen: Seen) -> tuple[float, float]:
        async with (
            aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=IN_FLIGHT)) as http,
            Client(base, auth="benchmark", rate_limit=None, in_flight=IN_FLIGHT) as client,
        ):
            against = await stretch(bare(base, http, size=size), lambda: seen.requests, WATCHES, LOOKS_OVER_HTTP)
            drive = batch(client, "changing", size)
            mine = await stretch(drive, lambda: seen.requests, SETTLED * size, LOOKS_OVER_HTTP)
        return mine.cpu, mine.cpu / against.cpu

    with served(Crowd(("changing",), size)) as (base, seen):
        return asyncio.run(measured(base, seen))


# --- rate ----------------------------------------------------------------------------------------------------------

LIMITS = {10.0: 30.0, 100.0: 15.0, 1000.0: 15.0}
"""Requests a second, and for how many seconds."""
AT_WORK = 2000
AWAY = 0.02
"""Seconds that the service takes for an answer."""
BEGINNING = 2.0
"""Seconds that do not count: what may be sent at once at the start is sent in them."""


def rate() -> None:
    print(
        f"{AT_WORK:,} tasks that are always due, answers after {AWAY * 1e3:.0f} ms; requests as they leave the client"
    )
    print(f"{'rate_limit':>12}{'seconds':>9}{'used':>8}{'busiest second':>17}{'limit + burst':>15}")
    for limit, seconds in LIMITS.items():
        times = apart(sent, limit, seconds)
        counted = [at for at in times if BEGINNING <= at - times[0] < seconds]
        used = len(counted) / limit / (seconds - BEGINNING)
        print(f"{limit:>12g}{seconds:>9g}{used:>8.1%}{busiest(times):>17}{limit + min(limit, 10):>15g}")


def sent(limit: float, seconds: float) -> list[float]:
    """When requests left."""
    times: list[float] = []

    async def noted(*given: Any, **named: Any) -> Reply:
        times.append(time.monotonic())
        return await exchange(*given, **named)

    async def measured(base: str, seen: Seen) -> None:
        async with (
            Client(base, auth="benchmark", rate_limit=limit, in_flight=IN_FLIGHT) as client,
            _running(batch(client, "changing", AT_WORK)) as task,
        ):
            await _until(task, lambda: seen.requests, 1)
            await asyncio.sleep(seconds)

    with (
        served(Crowd(("changing",), AT_WORK), AWAY) as (base, seen),
        mock.patch("iceye_async.session.exchange", noted),
    ):
        asyncio.run(measured(base, seen))
    return times


def busiest(times: Sequence[float]) -> int:
    """The most in any second."""
    return max(bisect_left(times, at + 1.0) - number for number, at in enumerate(times))


# --- life ----------------------------------------------------------------------------------------------------------


def life(tasks: int, sigma: float, types: int) -> None:
    lives = draw(tasks, sigma, types)
    usual = fixed(lives, INTERVAL)
    runs = {
        f"with scenes, rate_limit {FREE:g}": Run(tasks, sigma, types, True, FREE, IN_FLIGHT),
        f"without, rate_limit {FREE:g}": Run(tasks, sigma, types, False, FREE, IN_FLIGHT),
        "with scenes, as a Client is": Run(tasks, sigma, types, True, 10.0, 8),
    }
    print(
        f"{tasks:,} tasks, created at once, in one batch; the model of task_life.py, sigma {sigma:g}, {types} type(s), "
        f"answers after {LATENCY * 1e3:.0f} ms;\nrequests and seconds a task; a Client has rate_limit 10, 8 in flight"
    )
    print(
        f"{'':<32}{'requests':>10}{'derivatives':>13}{'task':>8}{'scene':>8}{'pages':>8}{'fewer':>8}"
        f"{'delay: mean':>13}{'p90':>8}{'worst':>9}{'lost':>6}{'real s':>8}"
    )
    print(
        f"{f'a loop for each, every {INTERVAL:g} s':<32}{usual.cost:>10.1f}{usual.cost:>13.1f}{'':>24}{'':>8}"
        f"{usual.delay:>13.1f}{p90(usual.delays):>8.1f}{max(usual.delays):>9.1f}",
        flush=True,
    )
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        for name, one in zip(runs, pool.map(Run.lived, runs.values()), strict=True):
            print(row(name, one, tasks, usual.cost), flush=True)
    print(arithmetic(tasks, sum(each.done - each.imaged for each in lives) / (CLOSES - OPENS)))


def row(name: str, one: Lived, tasks: int, usual: float) -> str:
    asked = [one.asked.get(what, 0) / tasks for what in ("derivatives", "task", "scene", "page")]
    each = f"{asked[0]:>13.1f}{asked[1]:>8.2f}{asked[2]:>8.2f}{asked[3]:>8.2f}"
    late = f"{statistics.mean(one.delays):>13.1f}{p90(one.delays):>8.1f}{max(one.delays):>9.1f}"
    lost = tasks - len(one.delays)
    return f"{name:<32}{sum(asked):>10.1f}{each}{usual / sum(asked):>7.1f}x{late}{lost:>6}{one.seconds:>8.0f}"


def arithmetic(tasks: int, busy: float) -> str:
    """What the default rate limit leaves."""
    return (
        f"Every {INTERVAL:g} s, {tasks:,} loops need {tasks / INTERVAL:.0f} requests a second. At R = 10 a second who "
        f"asks N tasks in turn is late by N/2R at the mean:\n{tasks / 20:.0f} s for all {tasks:,}, "
        f"{busy / 20:.1f} s for the {busy:.0f} that are between imaging and derivatives at a time."
    )


# --- the program ---------------------------------------------------------------------------------------------------


def apart(function: Callable[P, R], *given: P.args, **named: P.kwargs) -> R:
    """What it gives in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *given, **named).result()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("questions", nargs="*", metavar="question", help=f"of {', '.join(QUESTIONS)}; else all of them")
    parser.add_argument("--rounds", type=int, default=30, help="of cpu")
    parser.add_argument("--looks", type=int, default=2048, help="in each round of cpu")
    parser.add_argument("--sizes", type=int, nargs="+", default=[1000, 10_000, 100_000], help="of memory and scale")
    parser.add_argument("--repeats", type=int, default=3, help="of scale")
    parser.add_argument("--tasks", type=int, default=5000, help="of life")
    parser.add_argument("--sigma", type=float, default=0.6, help="of life: of both log-normal times")
    parser.add_argument("--types", type=int, default=1, help="of life: derivative types of each task")
    options = parser.parse_args()
    asked = options.questions or list(QUESTIONS)
    if unknown := set(asked).difference(QUESTIONS):
        parser.error(f"the questions are {', '.join(QUESTIONS)}, not {', '.join(sorted(unknown))}")
    cores = os.cpu_count()
    print(f"CPython {platform.python_version()}, aiohttp {aiohttp.__version__}, {cores} cores, {IN_FLIGHT} in flight")
    ask: dict[str, Callable[[], None]] = {
        "cpu": lambda: asyncio.run(cpu(options.rounds, options.looks)),
        "memory": lambda: memory(options.sizes),
        "scale": lambda: scale(options.sizes, options.repeats),
        "rate": rate,
        "life": lambda: life(options.tasks, options.sigma, options.types),
    }
    for question in asked:
        began = time.monotonic()
        print(f"\n{question}")
        ask[question]()
        print(f"{time.monotonic() - began:.0f} s", flush=True)


if __name__ == "__main__":
    main()
