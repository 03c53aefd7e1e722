"""Processes that are killed while they download, again and again: the next one goes on where the last one died.

ICEYE_TORTURE_KILLS says how many downloads (10), ICEYE_TORTURE_SEED which is the first seed (1).

    ICEYE_TORTURE_KILLS=300 pytest tests/torture/test_kills.py -n 2

says at the end how many kills there were, and how many of the processes after them went on.
"""

import asyncio
import signal

from tests.torture.fetching import fetched
from tests.torture.onlooker import Onlooker
from tests.torture.storm import AGAIN, ITEM, MIB, TASK, TOKEN, Storm, replayed_by, seeded

SEEDS = "ICEYE_TORTURE_KILLS"


async def kill(storm, rng):
    """Comes to its end when it is time: mostly half-way, else when the last byte has left the host or soon after."""
    missing = max(0, storm.size - storm.sent)
    if rng.random() < 0.8:
        await storm.reaches(storm.sent + int(missing * rng.uniform(0.02, 0.7)))
    else:
        await storm.reaches(storm.size)
    # The process does what it does meanwhile: it writes, it notes, it flushes, it renames.
    await asyncio.sleep(rng.choice([0.0, 0.02 * rng.random()]))


def went_on(asked, before):
    """Whether whoever asked after a kill went on with what was here; all of it may have been."""
    assert before < AGAIN or all(one.range is not None and one.if_range is not None for one in asked)
    return all(one.range is not None for one in asked)


async def test_a_killed_download_goes_on_until_it_is_whole(seed, figures, tmp_path, processes, record_property):
    rng = seeded(f"killed {seed}")
    size = int(rng.uniform(2, 24) * MIB)
    kills = resumed = 0
    async with Storm(f"killed {seed}", size, pace=rng.choice([0.0, 0.001, 0.003])) as storm:
        onlooker, report = Onlooker(tmp_path / "home", storm), tmp_path / "report"
        order = {"url": storm.url, "token": TOKEN, "task": TASK, "item": ITEM, "report": str(report)}
        order |= {"folder": str(onlooker.folder), "href": storm.link(), "figures": figures}
        async with replayed_by(SEEDS, seed, storm):
            for _ in range(rng.randint(1, 5)):
                asked, before = len(storm.asked), storm.sent
                code = await processes.carry_out(order, kill(storm, rng))
                resumed += kills > 0 and went_on(storm.asked[asked:], before)
                if code == 0:
                    break
                assert code == -signal.SIGKILL, report.read_text()
                kills += 1
                storm.disturbed("a kill")
                onlooker.look_for_links()
            asked, before = len(storm.asked), storm.sent
            finished = await fetched(order)
            resumed += kills > 0 and went_on(storm.asked[asked:], before)
            onlooker.judge(finished)

    record_property("killed downloads whole", 1)
    record_property("killed downloads: kills survived", kills)
    record_property("killed downloads: runs that went on with what was there", resumed)
    record_property("killed downloads: bytes of the objects", size)
    record_property("killed downloads: bytes sent again", storm.again)
    record_property("killed downloads: partial files published", 0)
