"""Time in a sandbox that does not run: it jumps to what is waited for, or goes as far as it is told."""

import asyncio
import itertools
import math
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from urllib.parse import parse_qs, urlsplit

import pytest

from iceye_async import TaskStatus
from iceye_async.sandbox import Fault, Sandbox, Scenario
from tests.desk import AT_ONCE, BOTH, TASKS, open_desk, ordered, turns

MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
STEPPED = pytest.mark.parametrize("speed", [0, math.inf], ids=["0", "inf"])
EPOCH = datetime(2026, 1, 1, tzinfo=UTC)


async def sleeper(clock, seconds, woken, name=None):
    """Write down when it woke."""
    await clock.sleep(seconds)
    woken.append((seconds if name is None else name, clock.now()))


# --- time that jumps -------------------------------------------------------------------------------------------------


async def test_a_wait_of_two_weeks_is_over_at_once():
    async with Sandbox(speed=math.inf) as sandbox, sandbox.client() as client:
        begun = sandbox.clock.now()
        task = await ordered(sandbox, client, opens=12.9 * DAY)
        found = await client.await_derivatives(task.id)
        took = sandbox.clock.now() - begun

    assert found.final
    assert 12.9 * DAY < took < 14 * DAY


async def test_what_is_waited_for_longest_comes_last():
    woken = []
    async with Sandbox(speed=math.inf) as sandbox:
        begun = sandbox.clock.now()
        await asyncio.gather(*(sleeper(sandbox.clock, seconds, woken) for seconds in (30.0, 1e6, 10.0, 20.5)))

    assert woken == [(seconds, pytest.approx(begun + seconds)) for seconds in (10.0, 20.5, 30.0, 1e6)]


async def test_between_two_wakings_others_may_begin_to_wait():
    """Time never jumps over somebody who begins to wait because of what has just happened."""
    woken = []

    async def steps(name, *steps):
        for step in steps:
            await sleeper(sandbox.clock, step, woken, name)

    async with Sandbox(speed=math.inf) as sandbox:
        begun = sandbox.clock.now()
        await asyncio.gather(steps("a", 10, 10, 10), steps("b", 15, 2, 100), steps("c", 1, 1, 1))

    assert [(name, round(at - begun)) for name, at in woken] == [
        *(("c", 1), ("c", 2), ("c", 3), ("a", 10), ("b", 15), ("b", 17), ("a", 20), ("a", 30), ("b", 117)),
    ]


async def test_two_waits_see_one_time_that_only_goes_forward():
    courses = {"late": {"imaged": 3 * HOUR}, "early": {"imaged": HOUR}}
    async with Sandbox(Scenario(courses=courses), speed=math.inf) as sandbox, sandbox.client() as client:
        seen, begun = [], sandbox.clock.now()

        async def follow(reference):
            task = await ordered(sandbox, client, reference=reference)
            async for update in client.await_task(task.id, until=TaskStatus.DONE):
                seen.append((sandbox.clock.now() - begun, reference, update.status))  # noqa: PERF401 - seen by others

        await asyncio.gather(follow("late"), follow("early"))

    times = [at for at, _, _ in seen]
    assert times == sorted(times)
    done = {reference: at for at, reference, status in seen if status == "DONE"}
    assert HOUR < done["early"] < 3 * HOUR < done["late"]


@pytest.mark.parametrize("seconds", [0.0, -1.0, -math.inf])
async def test_a_sleep_of_nothing_moves_nothing(seconds):
    async with Sandbox(speed=math.inf) as sandbox:
        begun = sandbox.clock.now()
        for _ in range(10):
            await sandbox.clock.sleep(seconds)

        assert sandbox.clock.now() == begun


async def test_who_waits_with_something_that_answers_first_sees_it_first():
    """A request of somebody else is answered before time goes on."""
    async with open_desk(Scenario(seed=1), speed=math.inf) as desk:
        begun, done = desk.clock.now(), []

        async def asks():
            for _ in range(20):
                await desk.get(TASKS)
            done.append(("asked", desk.clock.now()))

        await asyncio.gather(sleeper(desk.clock, 5.0, done, "slept"), asks())

    assert done == [("asked", begun), ("slept", begun + 5.0)]


async def test_sandboxes_have_times_of_their_own():
    async with Sandbox(speed=math.inf) as one, Sandbox(speed=math.inf) as other, Sandbox(speed=0) as third:
        before = other.clock.now(), third.clock.now()
        await one.clock.sleep(DAY)

        assert (other.clock.now(), third.clock.now()) == before


# --- time that is moved ----------------------------------------------------------------------------------------------


@STEPPED
async def test_without_anybody_who_waits_time_stands_still(speed):
    async with open_desk(Scenario(**AT_ONCE), BOTH, speed=speed) as desk:
        begun, utc = desk.clock.now(), desk.clock.utc()
        await desk.links()
        for _ in range(20):
            await desk.get(TASKS)
        await turns(1000)

        assert (desk.clock.now(), desk.clock.utc()) == (begun, utc)


@STEPPED
async def test_time_goes_as_far_as_it_is_told(speed):
    async with Sandbox(speed=speed) as sandbox:
        begun, utc = sandbox.clock.now(), sandbox.clock.utc()
        for step in (1.0, 0.25, 13 * DAY, 0.0, 0):
            await sandbox.advance(step)

        assert sandbox.clock.now() - begun == pytest.approx(13 * DAY + 1.25)
        assert sandbox.clock.utc() - utc == timedelta(days=13, seconds=1.25)


async def test_those_who_wait_wake_in_order_each_at_its_time():
    woken = []
    async with Sandbox(speed=0) as sandbox:
        begun = sandbox.clock.now()
        sleeping = [
            asyncio.ensure_future(sleeper(sandbox.clock, seconds, woken))
            for seconds in (30.0, 200.0, 10.0, 100.0, 20.0)
        ]
        await sandbox.advance(15)
        assert [name for name, _ in woken] == [10.0]
        await sandbox.advance(85)

        assert woken == [(seconds, pytest.approx(begun + seconds)) for seconds in (10.0, 20.0, 30.0, 100.0)]
        assert sandbox.clock.now() == pytest.approx(begun + 100)
        await sandbox.advance(1000)
        assert all(one.done() for one in sleeping)
        assert woken[-1] == (200.0, pytest.approx(begun + 200))


async def test_who_waits_again_on_the_way_is_woken_again_on_the_way():
    woken = []

    async def ticks():
        for number in range(100):
            await sleeper(sandbox.clock, 10.0, woken, number)

    async with Sandbox(speed=0) as sandbox:
        begun = sandbox.clock.now()
        ticking = asyncio.ensure_future(ticks())
        await sandbox.advance(955)

        assert woken == [(number, pytest.approx(begun + 10 * (number + 1))) for number in range(95)]
        await sandbox.advance(45)
        assert ticking.done()


async def test_those_who_are_due_together_wake_together_in_the_order_in_which_they_came():
    woken = []
    async with Sandbox(speed=0) as sandbox:
        begun = sandbox.clock.now()
        sleeping = [asyncio.ensure_future(sleeper(sandbox.clock, 10.0, woken, number)) for number in range(50)]
        await sandbox.advance(10)

        assert woken == [(number, pytest.approx(begun + 10)) for number in range(50)]
        assert all(one.done() for one in sleeping)


async def test_all_that_follows_has_happened_when_time_has_gone_on():
    """A wait makes many requests on the way, and is over, without another turn of the loop."""
    async with Sandbox(speed=0) as sandbox, sandbox.client() as client:
        task = await ordered(sandbox, client)
        waiting = asyncio.ensure_future(client.await_derivatives(task.id))
        await sandbox.advance(30 * MINUTE)
        assert not waiting.done()
        asked = len(sandbox.requests)
        assert asked > 2

        await sandbox.advance(3 * HOUR)

        assert waiting.done()
        assert (await waiting).final
        assert len(sandbox.requests) > asked


async def test_each_status_is_seen_when_it_comes():
    times = {"decided": 100.0, "imaged": 1000.0, "fulfilled": 2000.0, "done": 4000.0, "late": ["GRD"]}
    async with Sandbox(Scenario(**times), speed=0) as sandbox, sandbox.client() as client:
        task, seen = await ordered(sandbox, client), []

        async def follow():
            async for update in client.await_task(task.id, until=TaskStatus.DONE):
                seen.append(update.status)  # noqa: PERF401 - seen meanwhile

        following = asyncio.ensure_future(follow())
        found = []
        for step in (50, 2000, 2900, HOUR):
            await sandbox.advance(step)
            found.append(seen[-1])

        assert found == ["RECEIVED", "ACTIVE", "FULFILLED", "DONE"]
        assert following.done()


async def test_a_sleep_may_be_ended_by_advance_where_time_jumps():
    """Time that jumps can be moved as well, and those who wait wake on the way."""
    woken = []
    async with Sandbox(speed=math.inf) as sandbox:
        begun = sandbox.clock.now()
        sleeping = asyncio.ensure_future(sleeper(sandbox.clock, 10.0, woken))
        await sandbox.advance(60)

        assert sleeping.done()
        assert woken == [(10.0, pytest.approx(begun + 10))]
        assert sandbox.clock.now() == pytest.approx(begun + 60)


@pytest.mark.parametrize("speed", [1.0, 1000.0])
async def test_time_that_runs_cannot_be_moved(speed):
    async with Sandbox(speed=speed) as sandbox:
        with pytest.raises(RuntimeError, match="speed"):
            await sandbox.advance(5)


@STEPPED
@pytest.mark.parametrize("seconds", [-1.0, math.nan, math.inf, "5", None], ids=str)
async def test_time_cannot_be_moved_by_what_makes_no_sense(speed, seconds):
    async with Sandbox(speed=speed) as sandbox:
        begun = sandbox.clock.now()
        with pytest.raises((ValueError, TypeError)):
            await sandbox.advance(seconds)

        assert sandbox.clock.now() == begun


@pytest.mark.parametrize("speed", [-1.0, math.nan, -math.inf, "fast", None], ids=str)
def test_a_speed_that_makes_no_sense_is_refused(speed):
    with pytest.raises((ValueError, TypeError)):
        Sandbox(speed=speed)


async def test_time_that_runs_runs_as_fast_as_it_is_told():
    async with Sandbox(speed=1000.0) as sandbox:
        begun = sandbox.clock.now()
        await sandbox.clock.sleep(5.0)

        assert sandbox.clock.now() - begun >= 5.0


# --- downloads -------------------------------------------------------------------------------------------------------


BIG = 20_000_000


@pytest.fixture
async def lying():
    """A sandbox in which a big file lies, and a client."""
    scenario = Scenario(**AT_ONCE, sizes={"grd-tif": BIG}, seed=3)
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        task = await ordered(sandbox, client)
        (product,) = await client.products.list(task.id)
        yield sandbox, client, product


async def test_a_file_is_whole_although_somebody_waits_for_longer_than_a_link_lives(lying, tmp_path):
    sandbox, client, product = lying
    begun, ended = sandbox.clock.now(), []

    fetch = client.download(product, to=tmp_path, assets=["grd-tif"])
    [path], _ = await asyncio.gather(fetch, sleeper(sandbox.clock, 2 * HOUR, ended, "slept"))

    assert ended == [("slept", pytest.approx(begun + 2 * HOUR))]
    assert path.stat().st_size == BIG


async def test_a_download_that_nobody_drives_holds_nobody_up(lying, tmp_path):
    sandbox, client, product = lying
    download = client.download(product, to=tmp_path, assets=["grd-tif"])
    async for _ in download:
        break
    begun = sandbox.clock.now()

    await sandbox.clock.sleep(DAY)
    assert sandbox.clock.now() == pytest.approx(begun + DAY)

    await download
    [path] = [path for path in tmp_path.iterdir() if path.suffix == ".tif"]
    assert path.stat().st_size == BIG


async def test_a_client_that_does_not_read_holds_nobody_up():
    """Its answer is under way for ever; time goes on nevertheless."""
    scenario = Scenario(**AT_ONCE, sizes={"grd-tif": 100_000_000})
    async with open_desk(scenario, BOTH, speed=math.inf) as desk:
        link = (await desk.links())["grd-tif"]
        async with desk.http.get(link) as answer:
            await answer.content.readexactly(10)
            begun = desk.clock.now()
            await desk.clock.sleep(DAY)
            assert desk.clock.now() == pytest.approx(begun + DAY)
            answer.close()


@pytest.mark.parametrize("speed", [0, math.inf], ids=["0", "inf"])
async def test_an_answer_that_stalls_holds_nobody_up(speed):
    async with open_desk(Scenario(faults=[Fault(stall=0)]), BOTH, speed=speed) as desk:
        stalled = asyncio.ensure_future(desk.say("GET", TASKS))
        while desk.sandbox.faults:
            await turns(1)
        begun = desk.clock.now()
        await desk.sandbox.advance(DAY)

        assert desk.clock.now() == pytest.approx(begun + DAY)
        stalled.cancel()
        await asyncio.wait([stalled])


# --- delays ----------------------------------------------------------------------------------------------------------


async def test_a_late_answer_costs_just_its_delay():
    scenario = Scenario(faults=[Fault(call="listContracts", delay=40.0, times=2), Fault(call="token", delay=7.0)])
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        begun, took = sandbox.clock.now(), []
        for _ in range(3):
            await client.contracts.list()
            took.append(sandbox.clock.now() - begun)

    assert took == [pytest.approx(47), pytest.approx(87), pytest.approx(87)]


async def test_late_answers_overtake_each_other():
    scenario = Scenario(faults=[Fault(call="listTasks", delay=30.0), Fault(call="listContracts", delay=10.0)])
    async with Sandbox(scenario, speed=math.inf) as sandbox, sandbox.client() as client:
        came, begun = [], sandbox.clock.now()

        async def ask(name, call):
            await call
            came.append((name, sandbox.clock.now() - begun))

        await asyncio.gather(ask("tasks", client.tasks.list()), ask("contracts", client.contracts.list()))

    assert came == [("contracts", pytest.approx(10)), ("tasks", pytest.approx(30))]


# --- what is dated ---------------------------------------------------------------------------------------------------


async def test_every_date_follows():
    async with open_desk(Scenario(**AT_ONCE, seed=1), BOTH, speed=0) as desk:
        for step in (0.0, 90.0, HOUR, 3 * DAY):
            await desk.sandbox.advance(step)
            await desk.sign_in()
            now = desk.clock.utc()
            got = await desk.say("GET", TASKS)
            _, task = await desk.create()
            links = await desk.links()
            expires = int(parse_qs(urlsplit(links["grd-tif"]).query)["Expires"][0])
            file = await desk.fetch(links["grd-tif"], "HEAD")

            assert parsedate_to_datetime(got.headers["Date"]) == now
            assert parsedate_to_datetime(file.headers["Date"]) == now
            assert datetime.fromisoformat(task["createdAt"]) == now
            assert expires == now.timestamp() + 3600


async def test_a_token_lives_an_hour():
    async with open_desk(Scenario(), speed=0) as desk:
        found = []
        for step in (3599, 2, 5 * DAY):
            await desk.sandbox.advance(step)
            found.append((await desk.get(TASKS))[0])
        await desk.sign_in()

        assert [*found, (await desk.get(TASKS))[0]] == [200, 401, 401, 200]


async def test_over_days_a_client_renews_its_token():
    async with Sandbox(speed=math.inf) as sandbox, sandbox.client() as client:
        for _ in range(10):
            await client.tasks.list()
            await sandbox.clock.sleep(DAY)
        kinds = [path.rpartition("/")[2] for _, path in sandbox.requests]

    assert kinds == ["token", "tasks"] * 10


async def test_a_link_lives_as_long_as_it_is_told():
    async with open_desk(Scenario(**AT_ONCE, link_life=500.0), BOTH, speed=0) as desk:
        link, found = (await desk.links())["grd-tif"], []
        for step in (499, 2):
            await desk.sandbox.advance(step)
            found.append((await desk.fetch(link, "HEAD")).status)

    assert found == [200, 403]


async def test_over_days_a_client_renews_its_links(tmp_path):
    async with Sandbox(Scenario(**AT_ONCE), speed=math.inf) as sandbox, sandbox.client() as client:
        task = await ordered(sandbox, client)
        products = await client.products.list(task.id)
        await sandbox.clock.sleep(2 * DAY)

        assert await client.download(products[0], to=tmp_path, assets=["grd-tif"])


@STEPPED
async def test_with_a_seed_time_begins_at_the_same_moment_each_time(speed):
    async with Sandbox(Scenario(seed=0), speed=speed) as sandbox:
        assert sandbox.clock.utc() == EPOCH
    async with Sandbox(Scenario(seed=5), speed=speed) as sandbox:
        assert sandbox.clock.utc() == EPOCH


@pytest.mark.parametrize(
    ("scenario", "speed"),
    [(Scenario(), 0), (Scenario(), math.inf), (Scenario(), 1.0), (Scenario(seed=1), 1.0), (Scenario(seed=1), 60.0)],
    ids=["0", "inf", "1", "seed, 1", "seed, 60"],
)
async def test_otherwise_time_begins_now(scenario, speed):
    before = datetime.now(UTC)
    async with Sandbox(scenario, speed=speed) as sandbox:
        now = sandbox.clock.utc()
    after = datetime.now(UTC)

    # A second of those that run fast may have passed, and times are told in whole microseconds.
    assert (
        before - timedelta(seconds=1)
        <= now
        <= before + (after - before) * max(1, min(speed, 60)) + timedelta(seconds=1)
    )


# --- those who wait no more ------------------------------------------------------------------------------------------


@STEPPED
async def test_who_was_cancelled_is_forgotten(speed):
    woken = []
    async with Sandbox(speed=speed) as sandbox:
        begun = sandbox.clock.now()
        sleeping = [asyncio.ensure_future(sleeper(sandbox.clock, 1e9 + number, woken)) for number in range(100)]
        near = asyncio.ensure_future(sleeper(sandbox.clock, 5.0, woken))
        for one in [*sleeping, near]:
            # Before time can jump, in this very turn.
            one.cancel()
        await asyncio.wait([*sleeping, near])
        await sandbox.advance(100)

        assert sandbox.clock.now() == pytest.approx(begun + 100)
        assert woken == []


async def test_a_time_out_around_a_wait_leaves_time_where_it_was():
    """Whoever gave up is not waited for: time does not go where only he wanted to be."""
    async with Sandbox(speed=0) as sandbox:
        begun = sandbox.clock.now()
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.001):
                await sandbox.clock.sleep(50.0)

        assert sandbox.clock.now() == begun
        await sandbox.advance(100)
        assert sandbox.clock.now() == pytest.approx(begun + 100)


async def test_those_who_gave_up_among_many_do_not_disturb_the_others():
    woken = []
    async with Sandbox(speed=0) as sandbox:
        begun = sandbox.clock.now()
        sleeping = [
            asyncio.ensure_future(sleeper(sandbox.clock, 10.0 + number % 7, woken, number)) for number in range(70)
        ]
        await turns(2)
        for one in sleeping[::2]:
            one.cancel()
        await asyncio.wait(sleeping[::2])
        await sandbox.advance(100)

        assert sorted(name for name, _ in woken) == list(range(1, 70, 2))
        assert all(at == pytest.approx(begun + 10 + name % 7) for name, at in woken)
        assert all(before[1] <= after[1] for before, after in itertools.pairwise(woken))


async def test_one_who_fails_on_waking_does_not_stop_time():
    woken = []

    async def fails():
        await sandbox.clock.sleep(10)
        raise ValueError("on purpose")

    async with Sandbox(speed=0) as sandbox:
        failing = asyncio.ensure_future(fails())
        sleeping = asyncio.ensure_future(sleeper(sandbox.clock, 20.0, woken))
        await sandbox.advance(30)

        assert sleeping.done()
        assert len(woken) == 1
        with pytest.raises(ValueError, match="on purpose"):
            await failing


async def test_a_sandbox_closes_although_somebody_waits():
    before = asyncio.all_tasks()
    async with Sandbox(Scenario(decided=1e6), speed=0) as sandbox, sandbox.client() as client:
        task = await ordered(sandbox, client)
        waiting = asyncio.ensure_future(client.await_derivatives(task.id))
        sleeping = asyncio.ensure_future(sandbox.clock.sleep(1e9))
        await sandbox.advance(100)
        assert not waiting.done()
        waiting.cancel()
        await asyncio.wait([waiting])
    sleeping.cancel()
    await asyncio.wait([sleeping])
    await turns(5)

    assert not asyncio.all_tasks() - before


async def test_a_sandbox_closes_although_an_answer_is_late():
    before = asyncio.all_tasks()
    async with open_desk(Scenario(faults=[Fault(delay=1e6)]), speed=0) as desk:
        asking = asyncio.ensure_future(desk.say("GET", TASKS))
        while desk.sandbox.faults:
            await turns(1)
        asking.cancel()
        await asyncio.wait([asking])
    await turns(5)

    assert not asyncio.all_tasks() - before


async def test_a_sandbox_may_be_opened_again():
    sandbox = Sandbox(Scenario(seed=1), speed=0)
    for _ in range(2):
        async with sandbox, sandbox.client() as client:
            await sandbox.advance(10)
            assert await client.tasks.list() == ()
