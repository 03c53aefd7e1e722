"""Downloads in bad weather, and with drivers that stop half-way: each ends with the object as it is, whole.

ICEYE_TORTURE_DOWNLOADS says how many (10), ICEYE_TORTURE_SEED which is the first seed (1). A miss names its seed; the
plan, the bytes and the stops come from it, and only the moments at which threads meet do not.

    ICEYE_TORTURE_DOWNLOADS=1000 pytest tests/torture/test_disturbed.py -n 2

says at the end how many came home whole, and what they went through.
"""

import asyncio
import contextlib
import signal
from typing import NamedTuple

from iceye_async import Client, Derivative, DerivativeAsset, StateError
from iceye_async.downloads import Finished
from tests.torture.fetching import TRIES
from tests.torture.onlooker import Onlooker
from tests.torture.storm import ITEM, MIB, TASK, TOKEN, Storm, replayed_by, seeded, weather

SEEDS = "ICEYE_TORTURE_DOWNLOADS"


class Stop(NamedTuple):
    """How a driver stops before the end, once so much of the object was sent since; and who goes on."""

    how: str
    after: float
    then: str


def size(rng):
    """Mostly 1 to 20 MiB; some are next to nothing, and some are larger."""
    kind = rng.random()
    if kind < 0.05:
        return rng.choice([0, 1, 2, 100])
    if kind < 0.15:
        return rng.randrange(MIB)
    return int((20 * rng.random() + 20) * MIB) if kind > 0.9 else int((19 * rng.random() + 1) * MIB)


def stops(rng):
    found = []
    for _ in range(rng.choice([0, 0, 1, 1, 2, 3])):
        how = rng.choices(["cancel", "break", "close", "kill"], [4, 4, 1, 3])[0]
        found.append(Stop(how, rng.random() * 0.9, rng.choice(["the same", "another download", "another client"])))
    return found


class Household:
    """Whoever wants the object: a client and a download of it, both replaced whenever they are of no more use."""

    def __init__(self, storm, onlooker, rng):
        self.storm, self.onlooker, self.rng = storm, onlooker, rng
        self.client = self.download = None

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        await self.let_go("another client")

    async def drive(self):
        """The download as it is, or a new one."""
        if self.client is None:
            self.client = Client(self.storm.url, auth=TOKEN, rate_limit=None, retry=TRIES)
        if self.download is None:
            self.download = self.client.download(await self.thing(), self.onlooker.folder)
        return self.download

    async def thing(self):
        """What leads to the object: with a good link, with one that does not hold any more, or with none yet."""
        kind = self.rng.choice(["linked", "expired", "revoked", "listed", "task"])
        if kind == "listed":
            return await self.client.derivatives.get(TASK)
        if kind == "task":
            return TASK
        href = self.storm.link(-10.0 if kind == "expired" else 3600.0)
        if kind == "revoked":
            self.storm.expire()
        asset = DerivativeAsset(href=href, type="geojson")
        return Derivative(id=ITEM, type="DC_VESSELS", task_id=TASK, assets=(asset,))

    async def let_go(self, then):
        if then != "the same":
            self.download = None
        if then == "another client" and self.client is not None:
            await self.client.close()
            self.client = None

    async def stop(self, stop, processes, figures):
        """Drive the download, and stop so; True where it had come to its end before."""
        goal = self.storm.sent + int(stop.after * self.storm.size)
        if stop.how == "kill":
            # What was only dropped may hold the file for a moment longer, and another process need not wait for that.
            await self.let_go("another client")
            ended = await self.killed(goal, processes, figures)
        elif stop.how == "break":
            ended = await self.broken(await self.drive())
        else:
            ended = await self.hindered(await self.drive(), goal, stop.how)
        if not ended:
            self.storm.disturbed(stop)
        await self.let_go("another client" if stop.how == "close" else stop.then)
        return ended

    async def broken(self, download):
        left = self.rng.randint(1, 6)
        async for _ in download:
            self.onlooker.look()
            left -= 1
            if left == 0:
                return False
        return True

    async def hindered(self, download, goal, how):
        driver, sent = asyncio.create_task(download), asyncio.ensure_future(self.storm.reaches(goal))
        await asyncio.wait({driver, sent}, return_when=asyncio.FIRST_COMPLETED)
        sent.cancel()
        if not driver.done():
            if how == "close":
                await self.client.close()
            else:
                driver.cancel()
        with contextlib.suppress(asyncio.CancelledError, StateError):
            await driver
            return True
        return False

    async def killed(self, goal, processes, figures):
        report = self.onlooker.folder.with_name("report")
        order = {"url": self.storm.url, "token": TOKEN, "task": TASK, "item": ITEM, "href": self.storm.link()}
        order |= {"folder": str(self.onlooker.folder), "report": str(report), "figures": figures}
        code = await processes.carry_out(order, self.storm.reaches(goal))
        self.onlooker.look()
        assert code in {0, -signal.SIGKILL}, report.read_text()
        return code == 0


async def test_a_disturbed_download_ends_whole(seed, figures, tmp_path, processes, record_property):
    rng = seeded(f"disturbed {seed}")
    kills = 0
    pace = rng.choice([0.0, 0.0, 0.001])
    async with Storm(f"disturbed {seed}", size(rng), weather(rng, most=10), pace) as storm:
        onlooker = Onlooker(tmp_path / "home", storm)
        async with replayed_by(SEEDS, seed, storm), Household(storm, onlooker, rng) as household:
            for stop in stops(rng):
                ended = await household.stop(stop, processes, figures)
                onlooker.look_for_links()
                kills += stop.how == "kill" and not ended
                if ended:
                    break
            finished = await came_home(household)
            onlooker.judge(finished)
            await is_known_from_now_on(household, finished)

    record_property("disturbed downloads whole", 1)
    record_property("disturbances of downloads", storm.disturbances)
    record_property("disturbed downloads: kills", kills)
    record_property("disturbed downloads: times everything began anew", len(storm.epochs) - 1)
    record_property("disturbed downloads: bytes of the objects", sum(epoch.size for epoch in storm.epochs))
    record_property("disturbed downloads: bytes sent again", storm.again)
    record_property("disturbed downloads: partial files published", 0)


async def came_home(household) -> Finished:
    download = await household.drive()
    (path,) = await download
    (finished,) = download.latest
    assert finished.path == path
    return finished


async def is_known_from_now_on(household, finished):
    """Nothing is asked of the link host for it again, by whomever."""
    asked = len(household.storm.asked)
    await household.let_go("another client")

    again = await came_home(household)

    assert again.known
    assert (again.path, again.size, again.sha256) == (finished.path, finished.size, finished.sha256)
    assert len(household.storm.asked) == asked
