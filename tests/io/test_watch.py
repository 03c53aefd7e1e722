"""The bound on a request turns its own interruption into a time-out, and no other."""

import asyncio

import pytest

from iceye_async.watch import Watch


async def test_what_takes_too_long_times_out():
    watch = Watch(0.01)

    with pytest.raises(TimeoutError), watch.bound():
        await asyncio.Event().wait()

    assert asyncio.current_task().cancelling() == 0


async def test_a_cancellation_from_outside_stays_one_also_where_the_bound_is_over_too():
    watch = Watch(0.01)
    begun = asyncio.Event()

    async def work():
        with watch.bound():
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    watch.close()
    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_time_out_around_it_is_told_from_its_own():
    watch = Watch(60)

    with pytest.raises(TimeoutError):  # noqa: PT012 - the block is what is bounded
        async with asyncio.timeout(0.01) as outer:
            with watch.bound():
                await asyncio.Event().wait()

    assert outer.expired()
    watch.close()


async def test_the_others_of_a_task_group_are_not_touched():
    watch = Watch(0.01)
    reached = []

    async def late():
        with pytest.raises(TimeoutError), watch.bound():
            await asyncio.Event().wait()
        reached.append("late")

    async def other():
        await asyncio.sleep(0)
        reached.append("other")

    async with asyncio.TaskGroup() as group:
        group.create_task(late())
        group.create_task(other())

    assert sorted(reached) == ["late", "other"]
