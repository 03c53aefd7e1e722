"""The ways to drive a pending object: awaited, iterated, handed to asyncio, stopped half-way and taken up again."""

import asyncio
import contextlib
import gc
import warnings

import pytest
from aiohttp import web
from aioresponses import aioresponses

from iceye_async import Client, DerivativeSet, DerivativeUpdate, StateError

LOOK = "/api/tasking/v2/tasks/t1/derivatives"


def listing(status, **links):
    entries = ",".join(
        f'{{"id": "{kind}-1", "derivativeProductType": "DC_{kind.upper()}", "assets": [{asset}]}}'
        for kind, href in links.items()
        for asset in [f'{{"type": "geojson", "href": "{href}"}}' if href else ""]
    )
    return (status, {}, f'{{"data": [{entries}]}}'.encode())


SOME = listing(206, vessels="https://l.example/v", aircraft=None)
ALL = listing(200, vessels="https://l.example/v", aircraft="https://l.example/a")


@pytest.fixture
def gate(service):
    """The second answer waits until `gate.set()`; `gate.reached` is set when it is asked for."""
    gate = asyncio.Event()
    gate.reached = asyncio.Event()

    async def held(request):
        gate.reached.set()
        await gate.wait()
        return web.Response(status=ALL[0], body=ALL[2])

    service.answers(LOOK, SOME, held)
    return gate


@pytest.fixture
def pending(connect, service):
    """A wait that is over after a 206 and a 200."""
    service.answers(LOOK, SOME, ALL)
    return connect().await_derivatives("t1")


async def test_awaited_it_gives_the_whole(pending, service):
    found = await pending

    assert isinstance(found, DerivativeSet)
    assert found.final
    assert found.ready == {"DC_VESSELS", "DC_AIRCRAFT"}
    assert len(service.requests) == 2


async def test_iterated_it_gives_each_step(pending):
    updates = [update async for update in pending]

    assert [type(update) for update in updates] == [DerivativeUpdate] * 2
    assert [update.complete for update in updates] == [False, True]


async def test_nothing_is_asked_before_it_is_driven(pending, service):
    assert pending.latest is None
    assert not service.requests

    await pending


async def test_after_a_break_an_await_goes_on_without_asking_again(pending, service):
    async for update in pending:
        assert not update.complete
        break

    assert (await pending).final
    assert len(service.requests) == 2


async def test_after_a_break_a_second_iteration_goes_on_where_the_first_stopped(pending, service):
    first = await anext(pending)

    rest = [update async for update in pending]

    assert [update.complete for update in (first, *rest)] == [False, True]
    assert len(service.requests) == 2


async def test_an_await_after_the_end_asks_nothing(pending, service):
    async for _ in pending:
        pass

    assert (await pending).final
    assert await pending == await pending
    assert len(service.requests) == 2


async def test_an_iteration_after_the_end_gives_nothing(pending, service):
    await pending

    assert [update async for update in pending] == []
    assert len(service.requests) == 2


async def test_latest_is_the_last_update(pending):
    async for update in pending:
        assert pending.latest == update


async def test_a_cancelled_step_loses_nothing(connect, service, gate):
    pending = connect().await_derivatives("t1")
    first = await anext(pending)
    step = asyncio.ensure_future(anext(pending))
    await gate.reached.wait()
    step.cancel()
    with pytest.raises(asyncio.CancelledError):
        await step

    assert pending.latest == first
    gate.set()

    assert (await anext(pending)).complete
    assert (await pending).final


async def test_a_cancelled_await_can_be_awaited_again(connect, service, gate):
    pending = connect().await_derivatives("t1")
    task = asyncio.create_task(pending)
    await gate.reached.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task

    gate.set()

    assert not pending.latest.complete
    assert (await pending).final


async def test_cancelled_before_its_first_step_it_does_not_warn(connect, service):
    client = connect()

    async def cancel():
        task = asyncio.create_task(client.await_derivatives("t1"))
        task.cancel()
        await asyncio.wait([task])

    with warnings.catch_warnings(record=True) as warned:
        warnings.simplefilter("always")
        await cancel()
        gc.collect()

    assert not [warning for warning in warned if warning.category is RuntimeWarning]
    assert not service.requests


async def test_cancelling_during_the_pause_between_looks_loses_nothing(connect, service):
    class Stuck:
        async def sleep(self, seconds):
            limit.reschedule(asyncio.get_running_loop().time())
            await asyncio.Event().wait()

        def now(self):
            return 0.0

    service.answers(LOOK, SOME, ALL)
    pending = connect(clock=Stuck()).await_derivatives("t1")

    with pytest.raises(TimeoutError):
        async with asyncio.timeout(None) as limit:
            await pending

    assert pending.latest.ready == {"DC_VESSELS"}
    assert len(service.requests) == 1


async def test_as_a_task(pending):
    assert (await asyncio.create_task(pending)).final


async def test_in_gather(connect, service):
    service.answers(LOOK, ALL)
    client = connect()

    found = await asyncio.gather(*(client.await_derivatives("t1") for _ in range(3)))

    assert [each.final for each in found] == [True] * 3


async def test_in_wait_for(pending):
    assert (await asyncio.wait_for(pending, 5)).final


async def test_wait_for_gives_up_in_time_and_the_wait_can_go_on(connect, service, gate):
    pending = connect().await_derivatives("t1")

    with pytest.raises(TimeoutError):
        await asyncio.wait_for(pending, 0.1)

    gate.set()
    assert (await pending).final


async def test_in_a_task_group(connect, service):
    service.answers(LOOK, ALL)
    client = connect()

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(client.await_derivatives("t1")) for _ in range(3)]

    assert all(task.result().final for task in tasks)


def test_in_asyncio_run():
    client = Client("https://api.example", auth="c4n4ry-token")
    with aioresponses() as mocked:
        mocked.get(f"https://api.example{LOOK}", status=ALL[0], body=ALL[2])
        found = asyncio.run(client.await_derivatives("t1"))
    asyncio.run(client.close())

    assert found.final


async def collect(pending):
    return [update async for update in pending]


DRIVERS = {
    "await": lambda pending: pending,
    "anext": anext,
    "async for": collect,
    "task": asyncio.create_task,
    "wait_for": lambda pending: asyncio.wait_for(pending, 5),
}


@pytest.mark.parametrize("second", DRIVERS.values(), ids=DRIVERS)
@pytest.mark.parametrize("first", ["task", "async for"])
async def test_a_second_driver_is_refused_and_does_not_disturb_the_first(connect, service, gate, first, second):
    pending = connect().await_derivatives("t1")
    driver = asyncio.create_task(pending if first == "task" else collect(pending))
    await gate.reached.wait()

    with pytest.raises(StateError, match="already"):
        async with asyncio.timeout(1):
            await second(pending)

    gate.set()
    async with asyncio.timeout(1):
        await driver
    assert pending.latest.complete
    assert len(service.requests) == 2


@pytest.mark.parametrize("make", ["await_derivatives", "products"])
async def test_dropped_undriven_it_warns(connect, service, make):
    client = connect()

    def drop():
        _ = client.products.list("t1") if make == "products" else client.await_derivatives("t1")

    with pytest.warns(RuntimeWarning, match="never awaited or iterated"):
        drop()


async def test_dropped_half_way_it_is_silent(connect, service):
    service.answers(LOOK, SOME)
    pending = connect().await_derivatives("t1")
    await anext(pending)

    del pending
    gc.collect()


async def test_closed_undriven_it_is_silent(connect):
    connect().await_derivatives("t1").close()
    gc.collect()


async def test_a_loop_body_that_raises_leaves_it_usable(pending):
    with contextlib.suppress(ZeroDivisionError):
        async for _ in pending:
            _ = 1 / 0

    assert (await pending).final


async def test_who_does_not_drive_it_cannot_close_it(connect, service, gate):
    """Closing what a task drives would leave that task waiting for ever."""
    pending = connect().await_derivatives("t1")
    driver = asyncio.create_task(pending)
    await gate.reached.wait()

    with pytest.raises(StateError, match="cancel the task"):
        pending.close()

    gate.set()
    async with asyncio.timeout(1):
        await driver
    assert pending.latest.complete
