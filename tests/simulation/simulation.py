"""One batch, from its first task to its last, through whatever a plan has in store for it."""

import asyncio
import contextlib
import hashlib
import os
import shutil
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from iceye_async import Client, IceyeError, Unauthorized
from iceye_async.batch.journal import Journal
from iceye_async.sandbox import api
from tests.conftest import CANARY
from tests.simulation.ledger import Ledger
from tests.simulation.plans import COURSE, HOUR, SCENARIO, Plan, Result
from tests.simulation.virtual import Work
from tests.simulation.weather import Weather
from tests.simulation.world import World
from tests.torture.storm import seeded

MOST_LIVES = 7
"""Runs of a batch; the last one is let alone."""


class Stop(NamedTuple):
    """How a run of the batch ends before the batch does, and when: `trigger` counts seconds, events or commits."""

    how: str
    trigger: str
    at: float


class Life:
    """One client with its batch, until it ends or is ended."""

    def __init__(self, stop: Stop | None) -> None:
        self.stop = stop
        self.dead = False
        self.struck = asyncio.Event()
        self.events = self.commits = 0
        self.batch: Any = None

    def count(self, what: str) -> bool:
        """Whether it is time."""
        setattr(self, what, getattr(self, what) + 1)
        due = self.stop is not None and self.stop.trigger == what and getattr(self, what) == self.stop.at
        return due and not self.dead


class Simulation:
    """A plan at work. What happens is told in `story`, for whoever must find out why."""

    def __init__(
        self, plan: Plan, folder: Path, work: Work, monkeypatch: pytest.MonkeyPatch, *, downloads: bool = False
    ) -> None:
        self.plan, self.folder, self._monkeypatch = plan, folder, monkeypatch
        self.rng = seeded(f"household {plan.seed}")
        self.ledger = Ledger()
        work.written = self._settle
        self.story: list[str] = []
        self.to = folder / "files" if downloads else None
        self.journal = folder / "journal-0.db"
        self.crashes = 0
        self.named = 0
        """How many of the ids the batch was given so far."""
        self.whole = True
        """Whether every event was heard."""
        self.report: Any = None
        self._life: Life | None = None

    async def run(self, stops: Sequence[Stop] = ()) -> None:
        """Everything, to its end."""
        before = _held()
        weather = Weather(self.plan.seed, self.plan.rate, self.plan.spells)
        self.world = World(SCENARIO, weather, COURSE, renews=self.to is not None)
        self.world.use(self._monkeypatch)
        if self.plan.span > 6 * HOUR:
            # Else most of the requests would be for tokens.
            self._monkeypatch.setattr(api, "TOKEN_LIFE", 12 * HOUR)
        self._watch_commits()
        self.expected: dict[str, Result] = await self.plan.order(self.world)
        self.ids = list(self.expected)
        for number in range(MOST_LIVES + 1):
            stop = stops[number] if number < min(len(stops), MOST_LIVES) else None
            if number == MOST_LIVES:
                # Whatever ended the others (an `Unauthorized`, for instance) must not end this one.
                self.world.weather.rate = 0.0
            if await self._live(number, stop):
                break
        assert self.report is not None, "the batch did not come to its end"
        self._judge()
        await self._reopen()
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}
        assert _held() == before

    # --- a life ------------------------------------------------------------------------------------------------------

    async def _live(self, number: int, stop: Stop | None) -> bool:
        """One run; whether the batch came to its end."""
        life = self._life = Life(stop)
        self.ledger.begin()
        self.world.forbidden = dict.fromkeys(self.ledger.over, "it was over before this run")
        known = {} if self.to is None else {path.name: self._fetches(path) for path in self._published(self.to)}
        self.story.append(f"{self.world.now:.1f}: run {number}, {stop}")
        async with self._client() as client:
            given = self._given(number)
            life.batch = client.await_batch(
                self.ids[: self.named] if given else None,
                self.plan.types if given else None,
                to=self.to if given else None,
                journal=self.journal,
                poll=self.plan.policy,
            )
            driver = asyncio.ensure_future(self._drive(life))
            timer = asyncio.ensure_future(self._time(life))
            struck = asyncio.ensure_future(life.struck.wait())
            await asyncio.wait({driver, struck}, return_when=asyncio.FIRST_COMPLETED)
            for task in (timer, struck, driver):
                task.cancel()
            await asyncio.wait({driver, timer, struck})
            over = not driver.cancelled() and driver.result()
        crashed = life.dead
        self._settle()
        life.dead = True
        self.story.append(f"{self.world.now:.1f}: {'over' if over else 'crashed' if crashed else 'stopped'}")
        self._look_for_secrets()
        if self.to is not None:
            assert known == {path.name: self._fetches(path) for path in self._published(self.to) if path.name in known}
        complaints = [*self.world.complaints, *self.ledger.complaints]
        assert not complaints, complaints[:5]
        return over and not crashed and self.named == len(self.ids)

    def _given(self, number: int) -> bool:
        """Whether this run is given ids. Some batches get the rest of them later."""
        if number == 0:
            self.named = len(self.ids) if self.rng.random() < 0.8 else (len(self.ids) + 1) // 2
            return True
        if self.named < len(self.ids) or self.rng.random() < 0.5:
            self.named = len(self.ids)
            return True
        return False

    def _client(self) -> Client:
        return self.world.client(rate_limit=self.rng.choice([None, 10.0, 2.0]), in_flight=self.rng.choice([1, 4, 8]))

    async def _drive(self, life: Life) -> bool:
        """Take the events as somebody does; whether the batch came to its end."""
        style = self.rng.choice(["iterate", "iterate", "slow", "break", "await"])
        if style == "await":
            # Nobody hears what happens; but all of it is in the report.
            self.whole = False
        try:
            while style != "await":
                async for event in life.batch:
                    await self._hear(life, event)
                    if style == "slow" and self.rng.random() < 0.2:
                        await asyncio.sleep(self.rng.choice([1.0, 60.0, 4000.0]))
                    if style == "break" and self.rng.random() < 0.3:
                        break
                    self.ledger.acknowledge(event)
                else:
                    break
                self.ledger.acknowledge(event)
            self.report = await life.batch
        except Unauthorized:
            # It ends the batch, as documented; the next run goes on.
            assert self.world.weather.suffered["revoked"]
            return False
        return True

    async def _hear(self, life: Life, event: Any) -> None:
        if life.dead:
            await asyncio.get_running_loop().create_future()
        self.ledger.hear(event)
        if event.task_id in self.ledger.over:
            self.world.forbidden[event.task_id] = "it is over"
        if life.count("events"):
            self._strike(life)
            await asyncio.get_running_loop().create_future()

    async def _time(self, life: Life) -> None:
        if life.stop is not None and life.stop.trigger == "seconds":
            await asyncio.sleep(life.stop.at)
            self._strike(life)

    def _strike(self, life: Life) -> None:
        """The end of this life has come."""
        assert life.stop is not None
        if life.stop.how == "crash":
            self._crash(life)
        life.struck.set()

    def _crash(self, life: Life) -> None:
        """From now on nothing that this life does has ever happened: its journal is what it is now."""
        life.dead = True
        self.crashes += 1
        after = self.folder / f"journal-{self.crashes}.db"
        for suffix in ("", "-wal"):
            with contextlib.suppress(FileNotFoundError):
                shutil.copyfile(f"{self.journal}{suffix}", f"{after}{suffix}")
        self.journal = after
        life.struck.set()

    def _settle(self) -> None:
        """Whatever was acknowledged by somebody alive is written down."""
        if self._life is not None and not self._life.dead:
            self.ledger.settle()

    def _watch_commits(self) -> None:
        write = Journal.write

        def writing(journal: Journal, *args: Any) -> asyncio.Future[None]:
            life = self._life
            assert life is not None
            struck = life.count("commits")
            if struck and self.rng.random() < 0.5:
                self._crash(life)
                struck = False
            written = write(journal, *args)
            if struck:
                written.add_done_callback(lambda _: life.dead or self._crash(life))
            return written

        self._monkeypatch.setattr(Journal, "write", writing)

    # --- the end -----------------------------------------------------------------------------------------------------

    def _judge(self) -> None:
        self.ledger.judge(self.expected, self.report, whole=self.whole)
        if self.to is not None:
            self._judge_files(self.to)

    def _judge_files(self, to: Path) -> None:
        """Every derivative that was delivered is on the disk, whole, was told of once, and is in the report."""
        told = {path: file.sha256 for path, file in self.ledger.files.items()}
        there = {str(path): _sha256(path.read_bytes()) for path in self._published(to)}
        contents = self.world.contents()
        assert sorted(there.values()) == sorted(
            contents[one] for each in self.expected.values() for one in each.derivatives
        )
        assert not self.whole or told == there
        for task_id, outcome in self.report.completed.items():
            got = sorted(there[str(path)] for path in outcome.files)
            assert got == sorted(contents[one] for one in self.expected[task_id].derivatives)

    def _fetches(self, path: Path) -> int:
        """How often this file was asked for."""
        return sum(number for asked, number in self.world.files.items() if asked.split("/")[1] in path.name)

    def _published(self, to: Path) -> list[Path]:
        return [path for path in to.glob("*/[!.]*") if path.suffix != ".part"]

    async def _reopen(self) -> None:
        """What is over needs no request, and is told once more by nobody."""
        if self.rng.random() < 0.7:
            return
        asked = sum(self.world.asked.values())
        self.ledger.begin()
        async with self._client() as client:
            batch = client.await_batch(journal=self.journal)
            assert [event async for event in batch] == []
            self.ledger.judge(self.expected, await batch, whole=self.whole)
        assert sum(self.world.asked.values()) == asked

    def _look_for_secrets(self) -> None:
        for path in self.folder.glob("journal*[bl]"):
            content = path.read_bytes()
            for secret in (CANARY, "Signature", "https://links"):
                assert secret.encode() not in content, f"{secret} is in {path.name}"


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _held() -> tuple[list[str], list[str]]:
    """What this process has open, and its threads."""
    opened = [os.path.realpath(number) for number in Path("/proc/self/fd").iterdir()]
    names = sorted(thread.name for thread in threading.enumerate() if not thread.name.startswith("asyncio_"))
    return sorted(opened), names


def replay(error: BaseException, seed: int, story: Sequence[str]) -> None:
    """Say which seed does it again, and what had happened."""
    error.add_note(
        f"seed {seed}: ICEYE_SIMULATION_SEED={seed} ICEYE_SIMULATION_RUNS=1 pytest tests/simulation/test_simulation.py"
    )
    error.add_note("\n".join(story))


def unexpected(context: dict[str, Any]) -> str:
    """What an event loop has to say of an error that nobody took."""
    error = context.get("exception")
    return f"{context.get('message')}: {error!r}" if not isinstance(error, IceyeError) else f"nobody took {error!r}"
