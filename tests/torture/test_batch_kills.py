"""Batches whose process is killed again and again, around requests, commits and downloads: the next one goes on.

ICEYE_TORTURE_BATCH_KILLS says how many batches (10), ICEYE_TORTURE_SEED which is the first seed (1).

    ICEYE_TORTURE_BATCH_KILLS=300 pytest tests/torture/test_batch_kills.py -n 2

says at the end how many kills there were.
"""

import asyncio
import contextlib
import hashlib
import json
import signal
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from iceye_async.sandbox import Sandbox, Scenario
from iceye_async.sandbox.faults import LinkFault
from tests.torture.storm import replayed_by, seeded

SEEDS = "ICEYE_TORTURE_BATCH_KILLS"
VESSELS, AIRCRAFT, VEHICLES = "DC_VESSELS", "DC_AIRCRAFT", "DC_VEHICLES"


def scenario(seed):
    return Scenario(
        decided=0.02,
        imaged=0.05,
        fulfilled=0.05,
        derivatives={VESSELS: 0.05, AIRCRAFT: (0.1, 0.25), VEHICLES: 0.4},
        courses={"rejected": {"ends": "REJECTED"}},
        seed=seed,
    )


class Requests(list):
    """Requests as they come; `reaches` waits for some more of them."""

    def __init__(self):
        super().__init__()
        self._came = asyncio.Event()

    def append(self, request):
        super().append(request)
        self._came.set()

    async def reach(self, more):
        goal = len(self) + more
        while len(self) < goal:
            self._came.clear()
            await self._came.wait()


class Watched:
    """A batch in processes of their own, and what is known of it here: the requests, the log, the files."""

    def __init__(self, sandbox, folder, rng):
        self.sandbox, self.folder, self.rng = sandbox, folder, rng
        self.files, self.log, self.report = (folder / name for name in ("files", "log", "report"))
        self.journal, self.result = folder / "batch.db", folder / "result"
        sandbox.requests, sandbox._links.requests = Requests(), Requests()
        self.derivatives, self.rejected = {}, []
        self.happened = []
        self.unsure = set()
        self.kills = self.repeated = 0

    def story(self):
        yield from self.happened
        yield from self.lines

    async def create(self):
        """The tasks, and what there will be of each."""
        start = datetime.now(UTC)
        async with self.sandbox.client(rate_limit=None) as client:
            for number in range(self.rng.randint(3, 9)):
                kinds = [kind for kind in (VESSELS, AIRCRAFT, VEHICLES) if self.rng.random() < 0.6] or [VESSELS]
                rejected = number > 0 and self.rng.random() < 0.1
                task = await client.tasks.create(
                    contract_id=self.sandbox.contract_id,
                    imaging_mode="SPOTLIGHT",
                    point_of_interest=(60.0, 25.0),
                    acquisition_window=(start, start + timedelta(hours=25)),
                    product_types=["GRD"],
                    derivative_product_types=kinds,
                    reference="rejected" if rejected else "good",
                )
                self.derivatives[task.id] = 0 if rejected else sum(2 if kind == AIRCRAFT else 1 for kind in kinds)
        self.rejected = [task_id for task_id, number in self.derivatives.items() if number == 0]

    def order(self):
        """Begin, or go on: with all that was said before, or with the journal alone."""
        sandbox, alone = self.sandbox, self.journal.exists() and self.rng.random() < 0.5
        return {
            "url": sandbox.base_url,
            "token_url": sandbox.token_url,
            "client_id": sandbox.client_id,
            "client_secret": sandbox.client_secret,
            "ids": None if alone else list(self.derivatives),
            "journal": str(self.journal),
            "folder": None if alone else str(self.files),
            "log": str(self.log),
            "result": str(self.result),
            "report": str(self.report),
            "pause": self.rng.choice([0.0, 0.0, 0.01]),
        }

    async def moment(self):
        """Comes to its end when it is time to kill: at some request, file, commit or time, or just after it."""
        kind = self.rng.choice(["request", "file", "commit", "time"])
        if kind == "request":
            await self.sandbox.requests.reach(self.rng.randint(1, 2 * len(self.derivatives)))
        elif kind == "file":
            await self.sandbox.link_requests.reach(self.rng.randint(1, len(self.derivatives)))
        elif kind == "commit":
            await self._commits(self.rng.randint(1, len(self.derivatives)))
        else:
            await asyncio.sleep(self.rng.uniform(0.0, 0.4))
        await asyncio.sleep(self.rng.choice([0.0, 0.005 * self.rng.random()]))
        self.happened.append(f"kill by {kind} after {len(self.sandbox.requests)} requests, {len(self.lines)} events")

    async def _commits(self, more):
        wal, size = self.journal.with_name("batch.db-wal"), 0
        while more > 0:
            await asyncio.sleep(0.0005)
            with contextlib.suppress(FileNotFoundError):
                more -= wal.stat().st_size != size
                size = wal.stat().st_size

    @property
    def lines(self):
        """The events of the log; a line that the kill has cut off is none."""
        written = self.log.read_text("utf-8") if self.log.exists() else ""
        return written.split("\n")[:-1]

    @property
    def events(self):
        return [json.loads(line) for line in self.lines]

    # --- what may not be ---------------------------------------------------------------------------------------------

    def whole_files(self):
        """The ids of the derivatives whose file has its final name. It is whole."""
        found = set()
        for path in self.files.glob("*/[!.]*"):
            if path.suffix != ".part":
                (item,) = [item for item in self.contents() if item in path.name]
                assert hashlib.sha256(path.read_bytes()).hexdigest() == self.contents()[item], path
                found.add(item)
        return found

    def contents(self):
        """The SHA-256 of what the link host gives for each derivative."""
        host = self.sandbox._links
        return {
            path.partition("/")[0]: hashlib.sha256(host._version(file, LinkFault()).head).hexdigest()
            for path, file in host._files.items()
        }

    def judge_run(self, before):
        """Assert that this run did not ask again for what was over, but where it had something to tell once more."""
        told = self.events[before.events :]
        known = {event["id"] for event in self.events[: before.events]}
        again = {event["task"] for event in told if event["id"] in known}
        self.repeated += len([event for event in told if event["id"] in known])
        assert all(event["again"] for event in told if event["id"] in known)
        assert len({event["id"] for event in told}) == len(told)
        asked = {path.split("/")[5] for _, path in self.sandbox.requests[before.requests :] if path.count("/") > 4}
        # An update that was not acknowledged takes a look, for its links. It may be killed again before it is told.
        self.unsure |= {event["task"] for event in self.events[-3:]}
        assert asked & before.over <= again | before.unsure
        fetched = {request.path.split("/")[1] for request in self.sandbox.link_requests[before.links :]}
        assert fetched & before.files == set()

    def judge(self):
        """Assert that nothing was lost and nothing told twice, and that all files are there."""
        result = json.loads(self.result.read_text("utf-8"))
        events = self.events
        assert set(result["completed"]) == set(self.derivatives) - set(self.rejected)
        assert result["failed"] == dict.fromkeys(self.rejected, "TaskEnded")
        assert {task: len(ids) for task, ids in result["completed"].items()} == {
            task: number for task, number in self.derivatives.items() if number
        }
        said = {}
        for event in events:
            what = {key: value for key, value in event.items() if key != "again"}
            assert said.setdefault(event["id"], what) == what
        fresh = [one for event in said.values() if event["kind"] == "Updated" for one in event["what"]]
        assert sorted(fresh) == sorted(one for ids in result["completed"].values() for one in ids)
        files = [file for event in said.values() if event["kind"] == "Downloaded" for file in event["what"]]
        assert len({path for path, *_ in files}) == len(files) == len(fresh)
        assert self.whole_files() == set(fresh)
        ends = [event["task"] for event in said.values() if event["kind"] in {"Finished", "Failed"}]
        assert sorted(ends) == sorted(self.derivatives)


class Before:
    """What there was when a run began."""

    def __init__(self, watched):
        self.events, self.requests = len(watched.events), len(watched.sandbox.requests)
        self.links, self.files = len(watched.sandbox.link_requests), watched.whole_files()
        self.over = {event["task"] for event in watched.events if event["kind"] in {"Finished", "Failed"}}
        self.unsure = set(watched.unsure)


@pytest.fixture
def folder():
    """A folder, in memory where there can be one: what was written outlasts a kill on any disk."""
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as made:
        yield Path(made)


async def test_a_killed_batch_goes_on_until_everything_is_told(seed, folder, processes, record_property):
    rng = seeded(f"batch {seed}")
    async with Sandbox(scenario(seed)) as sandbox:
        watched = Watched(sandbox, folder, rng)
        async with replayed_by(SEEDS, seed, watched):
            await watched.create()
            left = rng.randint(1, 5)
            while True:
                before = Before(watched)
                order = watched.order()
                kill = watched.moment() if left else asyncio.get_running_loop().create_future()
                code = await processes.carry_out(order, kill)
                watched.judge_run(before)
                if code == 0:
                    break
                assert code == -signal.SIGKILL, watched.report.read_text()
                left -= 1
                watched.kills += 1
            watched.judge()

    record_property("killed batches that ended whole", 1)
    record_property("killed batches: kills survived", watched.kills)
    record_property("killed batches: tasks", len(watched.derivatives))
    record_property("killed batches: events told again", watched.repeated)
    record_property("killed batches: results lost", 0)
