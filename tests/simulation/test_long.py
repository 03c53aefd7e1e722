"""Batches that last for days: nothing grows, nothing is missed, nothing comes twice.

The tests take some of the tasks, and a third of the thirty days; ICEYE_SIMULATION_WHOLE=1 takes all of them.
"""

import asyncio
import functools
import gc
import os
import threading
import tracemalloc
from collections import Counter
from datetime import timedelta
from pathlib import Path
from typing import Any, NamedTuple, Self

import pytest

from iceye_async import PollPolicy
from iceye_async.batch import Finished, Updated
from iceye_async.sandbox import Scenario
from iceye_async.sandbox.products import Source
from tests.conftest import Aviary
from tests.simulation.plans import AIRCRAFT, DAY, HOUR, MINUTE, VESSELS
from tests.simulation.weather import FATES, Weather
from tests.simulation.world import World

WHOLE = os.environ.get("ICEYE_SIMULATION_WHOLE") == "1"
SLACK = 1024 * 1024
"""Bytes that may be more on one day than on another, for nothing but chance."""
MILD = {fate: weight for fate, weight in FATES.items() if fate != "revoked"}
"""What ends no batch, be it by chance."""
POLICY = PollPolicy(first=MINUTE / 2, ceiling=2 * MINUTE)


class Held(NamedTuple):
    """What the process has."""

    memory: int
    tasks: int
    threads: int
    descriptors: int


class Scales:
    """Weighs what the process holds, but for what was there before, and for caches, which are bounded."""

    def __init__(self) -> None:
        self._caches = _caches()

    def __enter__(self) -> Self:
        gc.collect()
        # To look through all modules at each weighing would take longer than the rest.
        gc.freeze()
        tracemalloc.start(1)
        return self

    def __exit__(self, *_: object) -> None:
        tracemalloc.stop()
        gc.unfreeze()

    def weigh(self, world: World, aviary: Aviary) -> Held:
        # What the service keeps for each link it gave, and the tests for each error, is no business of the client's.
        for kept in (world.sandbox._links._files, world.sandbox._links._holders, world._not_before, aviary.errors):
            kept.clear()
        for cache in [*self._caches, *_caches()]:
            cache.cache_clear()
        gc.collect()
        memory, _ = tracemalloc.get_traced_memory()
        threads = [thread for thread in threading.enumerate() if not thread.name.startswith("asyncio_")]
        return Held(memory, len(asyncio.all_tasks()), len(threads), len(list(Path("/proc/self/fd").iterdir())))


def _caches() -> list[Any]:
    return [each for each in gc.get_objects() if isinstance(each, functools._lru_cache_wrapper)]


class Days:
    """`rounds` batches of `tasks` each, one after the other with one client and one journal; each lasts `length`."""

    def __init__(self, folder: Path, monkeypatch, weigh, *, rounds: int, tasks: int, length: float) -> None:
        self.folder, self.monkeypatch, self.weigh = folder, monkeypatch, weigh
        self.rounds, self.tasks, self.length = rounds, tasks, length
        self.samples: list[list[Held]] = []
        self.came: Counter[str] = Counter()
        self.ended: Counter[str] = Counter()

    async def run(self) -> None:
        scenario = Scenario(seed=0, fulfilled=5 * MINUTE, derivatives={VESSELS: 3 * MINUTE, AIRCRAFT: (0, 9 * MINUTE)})
        self.world = World(scenario, Weather("long", rate=0.02, fates=MILD))
        self.world.use(self.monkeypatch)
        async with self.world.client() as client:
            for _ in range(self.rounds):
                ids = [await self._order((1 + number) / self.tasks) for number in range(self.tasks)]
                before = self.weigh(self.world)
                samples: list[Held] = []
                sampler = asyncio.ensure_future(self._sample(samples))
                async for event in client.await_batch(ids, journal=self.folder / "days.db", poll=POLICY):
                    match event:
                        case Updated(update=update):
                            self.came.update(derivative.id for derivative in update.fresh)
                        case Finished():
                            self.ended[event.task_id] += 1
                sampler.cancel()
                await asyncio.wait([sampler])
                await asyncio.sleep(HOUR)
                self.samples.append([before, *samples, self.weigh(self.world)])

    async def _order(self, when: float) -> str:
        opens = self.world.sandbox.clock.utc() + timedelta(seconds=when * (self.length - 2 * HOUR))
        task_id = await self.world.create(
            acquisitionWindow={"start": opens.isoformat(), "end": (opens + timedelta(hours=1)).isoformat()},
            imagingMode="SPOTLIGHT",
            productTypes=["GRD"],
            pointOfInterest={"lat": 60.0, "lon": 25.0},
            derivativeProductTypes=[VESSELS, AIRCRAFT],
        )
        story = self.world.story(task_id)
        # Counted from the beginning, so that nothing grows in here.
        self.came.update(
            {Source(story, kind, number).id: 0 for kind, number in ((VESSELS, 1), (AIRCRAFT, 1), (AIRCRAFT, 2))}
        )
        self.ended[task_id] = 0
        return task_id

    async def _sample(self, samples: list[Held]) -> None:
        while True:
            await asyncio.sleep(DAY)
            samples.append(self.weigh(self.world))


@pytest.mark.timeout(3600 if WHOLE else 60)
@pytest.mark.parametrize(
    ("rounds", "days", "tasks"),
    [pytest.param(1, 3, 5000, id="3 days x 5,000"), pytest.param(3, 10, 100, id="30 days x 300")],
)
def test_f20_days_of_waiting_leave_nothing_behind(
    rounds, days, tasks, folder, monkeypatch, aviary, in_virtual_time, record_property
):
    if not WHOLE:
        rounds, tasks = 1, max(4, tasks // 400)
    with Scales() as scales:
        weigh = functools.partial(scales.weigh, aviary=aviary)
        long = Days(folder, monkeypatch, weigh, rounds=rounds, tasks=tasks, length=days * DAY)
        in_virtual_time(long.run(), 1)

    assert set(long.came.values()) == {1}
    assert set(long.ended.values()) == {1}
    assert long.world.complaints == []
    for before, first, *later, after in long.samples:
        assert len(later) >= days - 2
        assert max(sample.memory for sample in later) < first.memory + SLACK
        assert {sample[1:] for sample in later} == {first[1:]}
        assert after.memory < before.memory + SLACK
        assert after[1:] == before[1:]
    record_property("long batches: virtual days", rounds * days)
    record_property("long batches: tasks", rounds * long.tasks)
    record_property("long batches: requests", sum(long.world.asked.values()))
    record_property("long batches: missed or told twice", 0)
