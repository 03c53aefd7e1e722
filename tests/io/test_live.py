"""What a user sees of a wait and of a batch: a picture in a terminal and in a notebook, plain lines elsewhere."""

import asyncio
import json
import logging
import math
import re
import sys
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import attrs
import pytest
from rich.cells import cell_len
from rich.console import Console

from iceye_async import (
    Derivative,
    DerivativeSet,
    DerivativeUpdate,
    DownloadError,
    JournalError,
    MissingExtra,
    PollTimeout,
    Product,
    ProductUpdate,
    ServerError,
    Task,
    TaskEnded,
    TransportError,
)
from iceye_async.batch import Downloaded, Failed, Finished, Updated
from iceye_async.display import batching, following, found, surfaces
from iceye_async.display.tempo import Rate, Trend
from iceye_async.display.text import WORDS
from iceye_async.events import Failed as Lost
from iceye_async.events import Finished as Whole
from iceye_async.events import Interrupted, Progressed, Requested, Totals
from iceye_async.models import DerivativeAsset
from iceye_async.protocol.waiting import Goal, Standing
from iceye_async.sandbox import Sandbox
from tests.desk import ordered
from tests.io.test_bars import Cell, assert_restored, cell, plain_environment, screen, terminal, uncoloured, written  # noqa: F401 - the environment is a fixture of all tests here

TASK = "69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa"
TYPES = ("DC_VESSELS", "DC_AIRCRAFT", "DC_VEHICLES")
HOUR, DAY = 3600.0, 86_400.0
MB = 1_000_000
REASON = "the service answered 503; it may be down"
HOSTILE = "\x1b[2J[red]x[bold]\u202e\u2028\r\n"
HARMLESS = "?[2J[red]x[bold]????"


class Clock:
    """Time stands still unless somebody moves it."""

    def __init__(self):
        self.time = 1000.0

    def now(self):
        return self.time


@pytest.fixture
def clock():
    return Clock()


class Wait:
    """A wait that stands as it is told to."""

    def __init__(self, wanted=TYPES, goal=Goal.DERIVATIVES, task_id=TASK):
        self.task_id, self.wanted, self.goal = task_id, wanted, goal
        self.latest = None
        self.standing = Standing(status=None, next_look=0.0, left=16 * DAY, setbacks=0, error=None)

    def stand(self, **facts):
        self.standing = attrs.evolve(self.standing, **facts)

    def fails(self, setbacks=1, reason=REASON):
        self.stand(setbacks=setbacks, error=ServerError(reason), next_look=25.0)


def derivative(kind, number=1, *, ready=True):
    assets = (DerivativeAsset(href="https://links.example/x?Signature=secret", type="geojson"),) if ready else ()
    return Derivative(id=f"{kind[3:].lower()}-{number}", type=kind, task_id=TASK, assets=assets)


def update(*derivatives, wanted=TYPES, complete=False):
    listed = DerivativeSet(derivatives, final=complete)
    ready = listed.ready & set(wanted)
    missing = frozenset(wanted) - ready
    fresh = tuple(one for one in derivatives if one.assets)
    return DerivativeUpdate(derivatives=listed, fresh=fresh, ready=ready, missing=missing, complete=complete)


def whole(item, name="found.geojson", size=61_234, folder=Path("detections"), **facts):
    return Whole(asset=f"{item}/geojson", path=folder / f"{item}_{name}", size=size, sha256="00", **facts)


def under_way(item, name="found.geojson", received=1.2 * MB, size=3.4 * MB):
    totals = Totals(files=1, finished=0, received=int(received), size=int(size), rate=1.0 * MB)
    return Progressed(
        asset=f"{item}/geojson",
        path=Path("detections") / f"{item}_{name}",
        received=int(received),
        size=int(size),
        rate=1.0 * MB,
        totals=totals,
    )


def lost(item):
    error = DownloadError(f"{item}/geojson: the link host answered 404")
    return Lost(asset=f"{item}/geojson", path=Path("detections") / f"{item}_found.geojson", error=error)


def task(status, minutes=0):
    began = datetime(2026, 1, 1, 12, tzinfo=UTC)
    return Task(
        id=TASK,
        contract_id="c",
        status=status,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(1.0, 2.0),
        acquisition_window=(began, began),
        created_at=began,
        updated_at=began + timedelta(minutes=minutes),
    )


def tell(shown, wait, step):
    """The wait gave an update, or a download an event; a dict is how the wait stands then."""
    if isinstance(step, dict):
        wait.stand(**step)
    elif isinstance(step, Task | DerivativeUpdate | ProductUpdate):
        wait.latest = step
        shown.updated(step)
    else:
        shown.told(step)


async def seen_after(*steps, wait=None, clock=None, console=None):
    """The screen as it is while a wait goes on that told these things."""
    wait, console = wait or Wait(), console or terminal()
    with following(wait, clock=clock, console=console) as shown:
        for step in steps:
            tell(shown, wait, step)
        await drawn(console)
        return screen(console)


async def turns():
    """Whatever is due is done."""
    for _ in range(20):
        await asyncio.sleep(0)


async def drawn(console):
    """Come back when a terminal was drawn on again."""
    if console.is_terminal:
        await written_again(console)


async def written_again(console):
    again, write = asyncio.Event(), console.file.write

    def witnessed(text):
        again.set()
        return write(text)

    console.file.write = witnessed
    async with asyncio.timeout(5):
        await again.wait()
    console.file.write = write


def kept_after(*steps, wait=None, clock=None, console=None, error=None):
    """What stays on the screen, or in the log."""

    async def watched():
        with following(wait, clock=clock, console=console) as shown:
            for step in steps:
                tell(shown, wait, step)
            if error is not None:
                raise error

    wait, console = wait or Wait(), console or terminal()
    try:
        asyncio.run(watched())
    except BaseException as caught:
        if caught is not error:
            raise
    return screen(console)


def log_file(encoding="utf-8"):
    return terminal(force_terminal=False, encoding=encoding)


PARTLY = (
    {"status": "FULFILLED", "next_look": 12.4, "left": 15 * DAY + 22 * HOUR},
    update(derivative("DC_VESSELS"), derivative("DC_AIRCRAFT")),
    whole("vessels-1"),
    under_way("aircraft-1"),
)
COMPLETE = update(*map(derivative, TYPES), complete=True)


# --- a wait in a terminal ----------------------------------------------------------------------------------------


async def test_before_anything_was_heard_everything_wanted_is_named():
    assert await seen_after() == [
        f"⠋ task {TASK}                         0 of 3 ready",
        "· DC_VESSELS   not there yet",
        "· DC_AIRCRAFT  not there yet",
        "· DC_VEHICLES  not there yet",
        "  0 s          asking now                16 d 00 h left",
    ]


async def test_where_no_type_was_named_it_says_that_nothing_is_there():
    _, row, _ = await seen_after(wait=Wait(wanted=()))

    assert row == "· no derivatives yet"


async def test_partly_ready_with_a_download_under_way(clock):
    wait = Wait()
    with following(wait, clock=clock, console=(console := terminal())) as shown:
        clock.time += HOUR + 120
        for step in PARTLY:
            tell(shown, wait, step)
        await drawn(console)
        seen = screen(console)

    assert seen[0] == f"⠋ task {TASK}  FULFILLED              2 of 3 ready"
    assert re.fullmatch(r"✓ DC_VESSELS   vessels-1_found\.geojson +61 kB", seen[1])
    assert re.fullmatch(r"↓ DC_AIRCRAFT  found\.geojson +━+╾?─+  1\.2 of 3\.4 MB  1\.0 MB/s +3 s", seen[2])
    assert seen[3:] == ["· DC_VEHICLES  not there yet", "  1 h 02 min   next look in 13 s         15 d 22 h left"]


async def test_what_is_listed_without_assets_is_being_made():
    seen = await seen_after(update(derivative("DC_VESSELS"), derivative("DC_VEHICLES", ready=False)))

    assert seen[1:4] == ["✓ DC_VESSELS   ready", "· DC_AIRCRAFT  not there yet", "○ DC_VEHICLES  being made"]


async def test_forty_columns_have_two_lines_for_each_file():
    *seen, _, _ = await seen_after(*PARTLY, console=terminal(40))

    assert seen[:4] == [
        f"⠋ {TASK}",
        "  FULFILLED  2 of 3 ready",
        "✓ DC_VESSELS   vessels-1_found.geojson",
        "  61 kB",
    ]
    assert seen[4] == "↓ DC_AIRCRAFT  aircraft-1_found.geojson"
    assert re.fullmatch(r"  ━+╾?─+  1\.2 of 3\.4 MB +3 s", seen[5])
    assert seen[6:] == ["· DC_VEHICLES  not there yet"]


async def test_twenty_columns_have_the_types_and_the_bytes():
    assert await seen_after(*PARTLY, console=terminal(20)) == [
        "⠋ 69be1…0b6a2f6fd0aa",
        "  FULFILLED  2/3",
        *("✓ DC_VESSELS", "  61 kB", "↓ DC_AIRCRAFT", "  1.2 of 3.4 MB", "· DC_VEHICLES"),
        *("  next 13 s", "  0 s", "  15 d 22 h left"),
    ]


async def test_failing_looks_are_counted_with_the_reason_until_one_succeeds():
    wait, console = Wait(), terminal()
    wait.fails(3)
    with following(wait, console=console):
        await drawn(console)
        failing = screen(console)
        wait.stand(setbacks=0, error=None)
        await drawn(console)
        await drawn(console)
        healed = screen(console)

    assert failing[-2:] == [
        f"! 3 looks in a row failed: {REASON}",
        "  0 s          next look in 25 s         16 d 00 h left",
    ]
    assert not any("!" in line for line in healed)


async def test_a_reason_that_is_long_has_three_lines_at_most():
    wait = Wait()
    wait.fails(reason="no more " * 100)

    seen = await seen_after(wait=wait, console=terminal(40))

    assert sum("no more" in line for line in seen) == 3
    assert any(line.endswith("…") for line in seen)


async def test_nothing_moves_sideways_while_numbers_grow(clock):
    wait, console, places = Wait(), terminal(), set()
    with following(wait, clock=clock, console=console):
        for elapsed, pause in ((0, 9.0), (59, 10.0), (61, 61.0), (3601, 5 * HOUR), (90_000, 0.0)):
            clock.time = 1000.0 + elapsed
            wait.stand(next_look=pause)
            await drawn(console)
            await drawn(console)
            foot = screen(console)[-1]
            places.add((re.search("next|asking", foot).start(), foot.index("16 d")))

    assert len(places) == 1


async def test_a_file_that_is_interrupted_says_when_it_goes_on():
    broken = Interrupted(asset="aircraft-1/geojson", path=Path("a"), received=5, error=TransportError("x"), wait=12.0)

    seen = await seen_after(*PARTLY, broken)

    assert seen[2].endswith("goes on in 12 s")


async def test_while_files_come_nobody_claims_to_be_asking():
    seen = await seen_after(*PARTLY, {"next_look": 0.0})

    assert "asking" not in seen[-1]


async def test_each_file_of_a_type_has_a_row_and_those_of_several_downloads_may_come_at_once():
    both = [derivative("DC_VESSELS", number) for number in (1, 2)]
    wait = Wait(wanted=("DC_VESSELS",))

    steps = (update(*both, wanted=wait.wanted), under_way("vessels-1"), under_way("vessels-2"), whole("vessels-1"))
    seen = await seen_after(*steps, wait=wait, console=terminal(72))

    # They would have one name without their ids.
    assert re.match(r"✓ DC_VESSELS  vessel\S*…\S+geojson +61 kB", seen[1])
    assert re.match(r"↓             ves\S*…\S+geojson +━+╾?─+  1\.2 of", seen[2])


async def test_a_type_of_which_only_one_has_come_is_still_being_made():
    some = update(derivative("DC_VESSELS"), derivative("DC_VESSELS", 2, ready=False))

    seen = await seen_after(some, whole("vessels-1"))

    assert seen[1] == "○ DC_VESSELS   being made"
    assert re.match(r"✓              vessels-1_found\.geojson", seen[2])


async def test_files_that_nobody_waits_for_are_shown_and_do_not_count():
    other = Whole(asset="q/png", path=Path("q_quicklook.png"), size=30_000, sha256="00")

    seen = await seen_after(*PARTLY, other)

    assert seen[0].endswith("2 of 3 ready")
    assert re.match(r"✓ +q_quicklook\.png +30 kB", seen[4])


async def test_a_file_that_failed_says_why():
    seen = await seen_after(*PARTLY, lost("aircraft-1"))

    assert seen[2] == "✗ DC_AIRCRAFT  found.geojson: the link host answered 404"


async def test_of_many_files_there_is_the_sum_and_those_that_come():
    many = [whole("vessels-1", f"{n}.tif", size=MB) for n in range(500)]

    seen = await seen_after(update(derivative("DC_VESSELS")), *many, under_way("vessels-1"))

    assert len(seen) == 6
    assert re.match(r"✓ DC_VESSELS   500 files +500 MB", seen[1])
    assert re.match(r"↓ +found\.geojson", seen[2])


async def test_where_rows_have_no_room_types_are_summed_up():
    files = [whole("vessels-1", f"{n}.tif", size=MB) for n in range(10)]

    seen = await seen_after(update(derivative("DC_VESSELS")), *files, console=terminal(height=9))

    assert [line.split()[1] for line in seen[1:4]] == list(TYPES)
    assert "10 files" in seen[1]


@pytest.mark.parametrize("width", [80, 40, 20])
async def test_in_five_rows_what_is_wrong_counts_more_than_the_rest(width):
    wait, console = Wait(), terminal(width, height=5)
    wait.fails(3)

    seen = await seen_after(*PARTLY, wait=wait, console=console)

    assert len(seen) == 4
    assert TASK[:5] in seen[0]
    assert seen[-1].startswith("! 3 looks in a row")


async def test_in_five_rows_there_is_one_line_of_times():
    seen = await seen_after(*PARTLY, console=terminal(20, height=5))

    assert seen[0] == "⠋ 69be1…0b6a2f6fd0aa"
    assert seen[2:] == ["  and 2 more", "  next 13 s"]


SIZES = [(width, 24) for width in (*range(1, 24), 35, 36, 40, 63, 64, 80, 200)]
SIZES += [(width, height) for width in (1, 20, 40, 80) for height in (2, 5)]


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_no_line_is_wider_and_no_picture_higher_than_the_terminal(width, height):
    long = "DC_" + "とても長い" * 9
    wait, console = Wait(wanted=(*TYPES, long), task_id=long), terminal(width, height)
    wait.fails(reason=long * 5)
    name = f"{long}.geojson"
    steps = (
        *(update(derivative("DC_VESSELS"), derivative(long), wanted=wait.wanted), whole("vessels-1", name)),
        *(under_way("vessels-1", name), under_way("other", name), lost("vessels-2")),
    )

    seen = await seen_after(*steps, {"status": long}, wait=wait, console=console)

    assert 0 < max(map(cell_len, seen)) <= width
    assert len(seen) < max(2, height)


async def test_a_terminal_of_another_encoding_gets_only_what_it_can_write():
    wait, console = Wait(wanted=("DC_VESSELS", "長い")), terminal(encoding="ascii")
    wait.fails(reason="é")

    seen = await seen_after(*PARTLY, lost("aircraft-1"), wait=wait, console=console)

    assert written(console).isascii()
    assert re.match(r"ok DC_VESSELS +vessels-1_found\.geojson", seen[1])
    assert ".  ??           not there yet" in seen
    assert "!  1 look failed: ?" in seen


async def test_without_colours_every_state_still_has_a_mark_of_its_own(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()

    seen = await seen_after(*PARTLY, console=console)

    assert [line[0] for line in seen[1:4]] == ["✓", "↓", "·"]
    assert not re.search(r"\x1b\[[\d;]*(3|9)\d[\d;]*m", written(console))


@pytest.mark.parametrize("make", [lambda: terminal(200), log_file], ids=["terminal", "log"])
async def test_text_from_outside_neither_moves_the_cursor_nor_becomes_markup(make):
    wait, console = Wait(wanted=(f"a{HOSTILE}",), task_id=f"b{HOSTILE}"), make()
    wait.fails(reason=f"c{HOSTILE}")
    steps = (
        {"status": f"d{HOSTILE}"},
        update(derivative(f"a{HOSTILE}"), wanted=wait.wanted),
        *(whole("x", f"e{HOSTILE}"), attrs.evolve(lost("y"), error=DownloadError(f"f{HOSTILE}"))),
    )

    seen = "\n".join(await seen_after(*steps, wait=wait, console=console))

    for letter in "abcdef":
        assert f"{letter}?[2J" in seen
    assert "\x1b[2J" not in written(console)
    assert not re.search("[\u202e\u2028]", written(console))


# --- how a wait ends ---------------------------------------------------------------------------------------------


def test_at_the_end_what_is_known_stays_once_and_one_line_sums_it_up(clock):
    console = terminal()
    files = [whole(f"{kind[3:].lower()}-1") for kind in TYPES]

    kept = kept_after({"status": "DONE"}, COMPLETE, *files, clock=clock, console=console)

    assert kept[0] == f"✓ task {TASK}  DONE"
    assert [re.split(r" {2,}", line)[0] for line in kept[1:4]] == [f"✓ {kind}" for kind in TYPES]
    assert kept[4:] == ["complete in 0 s: 3 of 3 ready, 3 files, 184 kB"]
    assert_restored(console)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (PollTimeout("too late", task_id=TASK), "deadline passed"),
        (TaskEnded("the task is REJECTED", task_id=TASK), "failed"),
        (KeyboardInterrupt(), "stopped"),
        (None, "stopped"),
    ],
)
def test_a_wait_that_ends_early_says_how_and_what_there_is(error, word):
    console = terminal()

    kept = kept_after(*PARTLY, console=console, error=error)

    assert kept[-1] == f"{word} after 0 s: 2 of 3 ready, 1 file, 61 kB"
    assert not any("next look" in line for line in kept)
    assert_restored(console)


def test_what_stays_is_not_cut_to_the_terminal():
    files = [whole("vessels-1", f"{n}.tif", size=MB) for n in range(15)]

    kept = kept_after(update(derivative("DC_VESSELS")), *files, console=terminal(height=8))

    assert sum(".tif" in line for line in kept) == 15


async def test_a_cancelled_wait_leaves_the_terminal_as_it_was():
    console, begun = terminal(), asyncio.Event()

    async def watched():
        with following(Wait(), console=console):
            begun.set()
            await asyncio.Event().wait()

    running = asyncio.create_task(watched())
    await begun.wait()
    running.cancel()

    with pytest.raises(asyncio.CancelledError):
        await running
    assert screen(console)[-1] == "stopped after 0 s: 0 of 3 ready"
    assert_restored(console)


@pytest.mark.parametrize("make", [terminal, log_file])
async def test_after_it_is_closed_nothing_runs_and_nothing_is_written(make, monkeypatch):
    monkeypatch.setattr(surfaces, "ASK", 0.0)
    console, wait = make(), Wait()
    with following(wait, console=console) as shown:
        await turns()
    before = written(console)

    wait.fails()
    shown.updated(COMPLETE)
    shown.told(whole("vessels-1"))
    await turns()

    assert written(console) == before
    assert shown._surface._timer.cancelled()


# --- a display that fails ----------------------------------------------------------------------------------------


def warnings_in(caplog):
    return [record.levelno for record in caplog.records if record.name == "iceye_async"]


async def test_a_terminal_that_breaks_does_not_end_the_wait(caplog):
    console, wait = terminal(), Wait()

    def broken(text):
        raise OSError(5, "the terminal is gone")

    with following(wait, console=console) as shown:
        console.file.write = broken
        for step in (*PARTLY, COMPLETE):
            tell(shown, wait, step)

    assert warnings_in(caplog) == [logging.WARNING]
    assert type(sys.stdout).__name__ != "FileProxy"


@pytest.mark.parametrize("make", [terminal, log_file])
async def test_a_wait_that_cannot_be_shown_goes_on_and_the_terminal_is_free(make, caplog, monkeypatch):
    console, wait = make(), Wait()
    monkeypatch.setattr(sys, "stdout", console.file)
    with following(wait, console=console) as shown:
        wait.standing = None
        shown.updated(COMPLETE)
        shown.told(whole("vessels-1"))
        print("still here")  # noqa: T201
        await asyncio.sleep(0)

    assert warnings_in(caplog) == [logging.WARNING]
    assert "still here" in screen(console)
    assert console not in surfaces._taken
    assert make is log_file or re.findall(r"\x1b\[\?25[hl]", written(console)) == ["\x1b[?25l", "\x1b[?25h"]


@pytest.mark.parametrize("make", [terminal, log_file])
async def test_that_nobody_reads_it_any_more_is_no_fault_of_the_display(make, caplog):
    console, wait = make(), Wait()

    def closed():
        raise BrokenPipeError

    def broken(text):
        raise BrokenPipeError

    console.on_broken_pipe = closed
    with following(wait, console=console) as shown:
        console.file.write = broken
        tell(shown, wait, COMPLETE)

    assert warnings_in(caplog) == []


async def test_a_second_wait_on_the_same_console_gets_plain_lines():
    console = terminal(120)

    with following(Wait(), console=console), following(Wait(task_id="second"), console=console):
        seen = screen(console)

    assert seen[0].startswith("[         0 s] task second: waiting for DC_VESSELS")
    assert_restored(console)


# --- a wait for a status, and for products -----------------------------------------------------------------------


def test_of_a_wait_for_a_status_those_gone_through_stay_with_their_times(clock):
    wait, console = Wait(wanted=("FULFILLED", "DONE"), goal=Goal.TASK), terminal()

    async def watched():
        with following(wait, clock=clock, console=console) as shown:
            tell(shown, wait, task("RECEIVED"))
            clock.time += 300
            tell(shown, wait, task("ACTIVE", minutes=4))
            await drawn(console)
            seen.extend(screen(console))
            clock.time += DAY
            tell(shown, wait, task("DONE", minutes=1440))

    seen = []
    asyncio.run(watched())

    passed = ["✓ RECEIVED  01 Jan 12:00:00 UTC  after 0 s", "✓ ACTIVE    01 Jan 12:04:00 UTC  after 5 min 00 s"]
    assert seen[1:4] == [*passed, "· FULFILLED or DONE"]
    assert screen(console)[1:] == [
        *passed,
        "✓ DONE      02 Jan 12:00:00 UTC  after 1 d 00 h",
        "complete in 1 d 00 h: the task is DONE",
    ]


async def test_a_status_that_nobody_was_told_of_is_seen_all_the_same():
    console, wait = terminal(), Wait(wanted=("DONE",), goal=Goal.TASK)
    with following(wait, console=console):
        wait.latest = task("ACTIVE")
        wait.stand(status="ACTIVE")
        await drawn(console)
        await drawn(console)

        assert screen(console)[1].startswith("✓ ACTIVE  01 Jan 12:00:00 UTC")


async def test_of_a_task_that_goes_to_and_fro_only_the_last_statuses_are_kept():
    steps = [task(f"S{n}") for n in range(100)]

    seen = await seen_after(*steps, wait=Wait(wanted=("DONE",), goal=Goal.TASK), console=terminal(height=50))

    assert len(seen) == 23
    assert seen[-3].startswith("✓ S99")


async def test_of_statuses_that_have_no_room_the_last_ones_are_shown():
    wait, console = Wait(wanted=("DONE",), goal=Goal.TASK), terminal(height=6)

    _, *rows, _ = await seen_after(*(task(f"S{n}") for n in range(9)), wait=wait, console=console)

    assert [row.split()[1] for row in rows] == ["S7", "S8", "DONE"]


async def test_a_product_counts_as_what_was_asked_for_whatever_it_calls_itself():
    product = Product(id="p1", task_id=TASK, product_type="GRD")
    first = ProductUpdate(
        products=(product,),
        fresh=(product,),
        ready=frozenset({"GRD-COG"}),
        missing=frozenset({"QLK"}),
        complete=False,
    )
    wait = Wait(wanted=("GRD-COG", "QLK"), goal=Goal.PRODUCTS)
    file = Whole(asset="p1/grd-cog", path=Path("p1_grd-cog.tif"), size=2 * MB, sha256="00")

    seen = await seen_after(first, file, wait=wait)

    assert re.match(r"✓ GRD-COG  p1_grd-cog\.tif +2\.0 MB", seen[1])
    assert seen[2] == "· QLK      not there yet"


# --- detections --------------------------------------------------------------------------------------------------


def geojson(folder, features, name="vessels-1_found.geojson"):
    path = folder / name
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return path


async def test_of_a_whole_file_the_detections_are_counted(tmp_path):
    geojson(tmp_path, [{}] * 17)
    file = whole("vessels-1", folder=tmp_path)

    seen = await seen_after(update(derivative("DC_VESSELS")), file)
    narrow = await seen_after(update(derivative("DC_VESSELS")), file, console=terminal(20))

    assert seen[1].endswith(" 17 detections")
    assert narrow[3] == "  61 kB, 17 found"


def test_what_is_no_geojson_or_too_large_has_no_count(tmp_path, monkeypatch):
    path = geojson(tmp_path, [{}])
    assert found.detections(path) == 1
    assert found.detections(str(path)) is None
    assert found.detections(tmp_path / "gone.geojson") is None
    assert found.detections(geojson(tmp_path, [{}], "x.json")) is None
    for text in ("", "[]", '{"features": 3}', "\x00", "[" * 100_000):
        path.write_text(text)
        assert found.detections(path) is None
    geojson(tmp_path, [{}])
    monkeypatch.setattr(found, "LARGEST", path.stat().st_size)
    assert found.detections(path) is None


# --- a wait in a log ---------------------------------------------------------------------------------------------


def test_without_a_terminal_there_is_a_line_for_each_thing_that_is_new(clock, tmp_path):
    console, wait = log_file(), Wait()
    geojson(tmp_path, [{}])

    async def watched():
        with following(wait, clock=clock, console=console) as shown:
            clock.time += 90
            wait.stand(status="ACTIVE")
            some = update(derivative("DC_VESSELS"), derivative("DC_VEHICLES", ready=False))
            for step in (some, some, under_way("vessels-1"), whole("vessels-1", folder=tmp_path)):
                tell(shown, wait, step)
            wait.fails(1)
            tell(shown, wait, under_way("vessels-1"))
            wait.fails(2)
            tell(shown, wait, under_way("vessels-1"))
            clock.time += HOUR
            wait.stand(setbacks=0, error=None, status="DONE")
            for step in (COMPLETE, lost("aircraft-1"), whole("vehicles-1", known=True)):
                tell(shown, wait, step)

    asyncio.run(watched())

    assert written(console).splitlines() == [
        f"[         0 s] task {TASK}: waiting for DC_VESSELS, DC_AIRCRAFT, DC_VEHICLES, for at most 16 d 00 h",
        "[  1 min 30 s] the task is ACTIVE",
        "[  1 min 30 s] DC_VESSELS ready; being made: DC_VEHICLES; missing: DC_AIRCRAFT",
        "[  1 min 30 s] vessels-1_found.geojson: 61 kB, 1 detection",
        f"[  1 min 30 s] a look failed: {REASON}; next look in 25 s",
        "[  1 h 01 min] the service answers again, after 2 failed looks",
        "[  1 h 01 min] the task is DONE",
        "[  1 h 01 min] DC_AIRCRAFT, DC_VEHICLES ready",
        "[  1 h 01 min] aircraft-1_found.geojson: failed: the link host answered 404",
        "[  1 h 01 min] vehicles-1_found.geojson: 61 kB, there already",
        "[  1 h 01 min] complete: 3 of 3 ready, 2 files, 1 failed, 122 kB",
    ]


async def test_what_nobody_tells_of_is_in_the_log_all_the_same(monkeypatch):
    monkeypatch.setattr(surfaces, "ASK", 0.001)
    console, wait = log_file(), Wait()
    with following(wait, console=console):
        for change in (
            {"status": "ACTIVE"},
            {"setbacks": 1, "error": ServerError(REASON)},
            {"setbacks": 0, "error": None},
        ):
            wait.stand(**change)
            await written_again(console)

    assert [line.partition("] ")[2] for line in written(console).splitlines()[1:4]] == [
        "the task is ACTIVE",
        f"a look failed: {REASON}",
        "the service answers again, after 1 failed look",
    ]


def test_the_deadline_is_a_date_in_real_time_and_a_duration_in_that_of_a_sandbox(clock):
    wait = Wait()
    wait.stand(left=DAY)

    real, fast = kept_after(wait=wait, console=log_file()), kept_after(wait=wait, clock=clock, console=log_file())
    wait.stand(left=90.0)
    soon = kept_after(wait=wait, console=log_file())
    wait.stand(left=None)
    endless = kept_after(wait=wait, console=log_file())

    tomorrow = datetime.now(UTC) + timedelta(days=1)
    assert re.search(r", until (\S+) \d\d:\d\d UTC$", real[0])[1] == f"{tomorrow:%Y-%m-%d}"
    assert fast[0].endswith(", for at most 1 d 00 h")
    assert soon[0].endswith(", for at most 1 min 30 s")
    assert endless[0].endswith(", without a deadline")


async def test_errors_are_told_in_the_words_of_whoever_shows_them():
    words = WORDS.set(lambda error: str(error).replace("503", "nothing"))
    try:
        wait, console = Wait(), log_file()
        wait.fails()
        await seen_after(lost("vessels-1"), wait=wait, console=console)
        await batch_after(broken(1, "503"), batch=Batch(1, 1, 1), console=console)
    finally:
        WORDS.reset(words)

    assert "the service answered nothing" in written(console)
    assert "failed: nothing" in written(console)


def test_a_wait_for_a_status_in_a_log(clock):
    wait = Wait(wanted=("FULFILLED", "DONE"), goal=Goal.TASK)

    kept = kept_after(task("ACTIVE"), task("DONE"), wait=wait, clock=clock, console=log_file())

    assert [line.partition("] ")[2] for line in kept] == [
        f"task {TASK}: waiting for FULFILLED or DONE, for at most 16 d 00 h",
        *("the task is ACTIVE", "the task is DONE", "complete: the task is DONE"),
    ]


@pytest.mark.parametrize("of", ["dumb", "no columns"])
async def test_a_terminal_that_cannot_be_drawn_over_gets_plain_lines(of, monkeypatch):
    monkeypatch.setenv("TERM", "dumb") if of == "dumb" else monkeypatch.setenv("COLUMNS", "0")
    console = terminal(None, None) if of == "no columns" else terminal()

    seen = kept_lines(await seen_in_log(console))

    assert seen[0] == f"task {TASK}: waiting for DC_VESSELS, DC_AIRCRAFT, DC_VEHICLES, for at most 16 d 00 h"
    assert "\x1b" not in written(console)


async def seen_in_log(console):
    with following(Wait(), clock=Clock(), console=console):
        pass
    return written(console)


def kept_lines(text):
    return [line.partition("] ")[2] for line in text.splitlines()]


def test_a_plain_line_is_never_wrapped():
    wait, console = Wait(task_id="t" * 300), terminal(40, force_terminal=False)

    kept_after(wait=wait, console=console)

    assert written(console).splitlines()[0].count("t" * 300) == 1


def test_plain_lines_keep_to_the_encoding():
    wait, console = Wait(wanted=("長い",)), log_file(encoding="ascii")

    kept_after(wait=wait, console=console)

    assert "waiting for ??" in written(console)


# --- a notebook --------------------------------------------------------------------------------------------------


async def test_in_a_notebook_the_picture_is_replaced_and_the_last_one_stays(cell):  # noqa: F811
    wait = Wait()
    with following(wait, console=Console(force_jupyter=True)) as shown:
        for step in PARTLY:
            tell(shown, wait, step)
        during = cell.outputs[0]["text/plain"]
        tell(shown, wait, COMPLETE)

    assert "2 of 3 ready" in during
    assert len(cell.outputs) == 1
    assert cell.outputs[0]["text/plain"].splitlines()[-1].startswith("complete in 0 s: 3 of 3 ready")


# --- a batch in a terminal ---------------------------------------------------------------------------------------


class Report:
    def __init__(self, batch):
        self._batch = batch

    def __getattr__(self, name):
        self._batch.asked += 1
        if self._batch.broken:
            raise JournalError("the journal is gone")
        return range(self._batch.counts[("completed", "failed", "waiting").index(name)])


class Batch:
    """A batch whose journal holds so many tasks that are completed, failed and waiting."""

    def __init__(self, *counts):
        self.counts = counts or (0, 0, 0)
        self.asked, self.broken = 0, False
        self.latest = Report(self)


@pytest.fixture
def time(monkeypatch):
    """Of what is shown: it stands still unless somebody moves it."""
    time = Clock()
    monkeypatch.setattr(surfaces, "now", time.now)
    return time


def task_id(number):
    return f"{number:08}-7a0e-4a54-9d0f-0b6a2f6fd0aa"


def arrived(number, kind="DC_VESSELS"):
    return Updated(task_id=task_id(number), id=f"u{number}", update=update(derivative(kind, number)))


def fetched(number, files=1, **facts):
    there = tuple(whole(f"d{number}-{n}") for n in range(files))
    return Downloaded(task_id=task_id(number), id=f"d{number}", files=there, **facts)


def broken(number, message="task {} is REJECTED: there will be no picture"):
    error = TaskEnded(message.format(task_id(number)), task_id=task_id(number))
    return Failed(task_id=task_id(number), id=f"f{number}", error=error)


class Outcome:
    types = frozenset({"DC_VESSELS", "DC_AIRCRAFT"})
    files = (Path("a"), Path("b"))


class Journal:
    def __init__(self, completed):
        self.completed = completed


def finished(number, **completed):
    return Finished(
        task_id=task_id(number), id=f"e{number}", report=Journal(completed.get("found", {task_id(number): Outcome()}))
    )


def requested(path="/api/tasking/v2/tasks/x", host="platform.example"):
    return Requested(method="GET", host=host, path=path, status=200, error=None, seconds=0.1)


MIDDLE = (*map(broken, range(7)), *(event for n in range(10, 17) for event in (arrived(n), fetched(n))))


async def batch_after(*events, batch, console=None, rate=10.0, requests=()):
    """The screen as it is while a batch goes on that told these events."""
    console = console or terminal()
    with batching(batch, journal="night.db", rate=rate, console=console) as shown:
        for request in requests:
            shown.requested(request)
        for event in events:
            shown.told(event)
        await drawn(console)
        return screen(console)


def batch_kept(*events, batch, end=None, console=None, error=None):
    async def watched():
        with batching(batch, journal="night.db", rate=None, console=console) as shown:
            for event in events:
                event() if callable(event) else shown.told(event)
            batch.counts = end or batch.counts
            if error is not None:
                raise error

    console = console or terminal()
    try:
        asyncio.run(watched())
    except BaseException as caught:
        if caught is not error:
            raise
    return screen(console)


async def test_at_the_start_of_a_batch_the_journal_is_read():
    assert await batch_after(batch=Batch()) == [
        "⠋ reading night.db",
        "  0.0/s of 10/s      0 requests         0 s",
    ]


async def test_in_the_middle_of_a_batch(time):
    seen = await batch_after(*MIDDLE, batch=Batch(1170, 19, 3811), requests=[requested()] * 5)

    assert re.fullmatch(r"⠋ ━+╾?─+  1,189 of 5,000 tasks  23 %", seen[0])
    assert seen[1:3] == [
        "  1,170 completed    19 failed          3,811 waiting      7 files, 429 kB",
        "  5.0/s of 10/s      5 requests         0 s",
    ]
    assert seen[3:8] == [f"✗ {task_id(n)}  is REJECTED: there will be no picture" for n in range(2, 7)]
    assert seen[8:] == [f"✓ {task_id(n)}  DC_VESSELS; 1 file, 61 kB" for n in range(12, 17)]


async def test_a_batch_in_forty_columns():
    seen = await batch_after(*MIDDLE, batch=Batch(1170, 19, 3811), console=terminal(40))

    assert re.fullmatch(r"⠋ ━+╾?─+  1,189 of 5,000 tasks  23 %", seen[0])
    assert seen[1:5] == [
        "  1,170 completed    19 failed",
        "  3,811 waiting      7 files, 429 kB",
        "  0.0/s of 10/s      0 requests",
        "  0 s",
    ]
    assert seen[5] == "✗ 0000…2f6fd0aa  is REJECTED: there wil…"


async def test_a_batch_in_twenty_columns():
    seen = await batch_after(*MIDDLE, batch=Batch(1170, 19, 3811), console=terminal(20))

    assert seen[0] == "⠋ 1,189 of 5,000"
    assert re.fullmatch(r"  ━+╾?─+  23 %", seen[1])
    assert seen[2:6] == ["  1,170 completed", "  19 failed", "  3,811 waiting", "  7 files, 429 kB"]
    assert seen[9] == "✗ 00000…0b6a2f6fd0aa"


@pytest.mark.parametrize(("width", "height"), SIZES)
async def test_a_batch_is_never_wider_or_higher_than_the_terminal(width, height):
    events = [attrs.evolve(event, task_id="とても長い" * 20) for event in MIDDLE]

    seen = await batch_after(*events, batch=Batch(1170, 19, 3811), console=terminal(width, height))

    assert 0 < max(map(cell_len, seen)) <= width
    assert len(seen) < max(2, height)


async def test_a_batch_of_thousands_is_as_large_as_a_small_one():
    events = [event for n in range(3000) for event in (broken(n), arrived(n), fetched(n))]

    seen = await batch_after(*events[-300:], batch=Batch(1500, 3000, 1))

    assert len(seen) == 13


async def test_a_low_terminal_has_failures_and_arrivals_by_halves():
    seen = await batch_after(*MIDDLE, batch=Batch(1170, 19, 3811), console=terminal(height=8))

    assert [line[0] for line in seen[3:]] == ["✗", "✗", "✓", "✓"]


async def test_what_comes_of_one_task_is_one_row():
    events = (arrived(1), fetched(1), arrived(1, "DC_AIRCRAFT"), fetched(1, files=2))

    *_, row = await batch_after(*events, batch=Batch(0, 0, 1))

    assert row == f"✓ {task_id(1)}  DC_AIRCRAFT, DC_VESSELS; 3 files, 184 kB"


async def test_files_that_were_told_of_in_an_earlier_run_are_not_counted_twice():
    seen = await batch_after(fetched(1, files=2), fetched(1, files=2, again=True), batch=Batch(0, 0, 1))

    assert "2 files, 122 kB" in seen[1]


async def test_requests_a_second_are_those_of_the_last_ten_seconds_to_the_api(time):
    console = terminal()
    with batching(Batch(0, 0, 9), journal="n.db", rate=None, console=console) as shown:
        for _ in range(300):
            shown.requested(requested())
            shown.requested(requested("/some/file.tif", host="links.example"))
            shown.requested("something new")
            time.time += 0.1
        await drawn(console)
        busy = screen(console)[2]
        time.time += 60
        await drawn(console)
        await drawn(console)
        quiet = screen(console)[2]

    assert busy == "  10.0/s             300 requests       30 s"
    assert quiet == "  0.0/s              300 requests       1 min 30 s"


async def test_the_journal_is_looked_into_once_a_second_at_most(time):
    batch = Batch(0, 0, 9)
    with batching(batch, journal="n.db", rate=None, console=terminal()) as shown:
        for n in range(50):
            shown.told(arrived(n))
        once = batch.asked
        time.time += 1.0
        shown.told(arrived(1))

        assert (once, batch.asked) == (3, 6)


async def test_a_journal_that_cannot_be_read_is_no_reason_to_show_nothing(time, caplog):
    batch, console = Batch(1, 0, 9), terminal()
    with batching(batch, journal="n.db", rate=None, console=console) as shown:
        batch.broken = True
        time.time += 5.0
        shown.told(broken(1))
        await drawn(console)
        seen = screen(console)

    assert "1 of 10 tasks" in seen[0]
    assert seen[-1].startswith(f"✗ {task_id(1)}")
    assert warnings_in(caplog) == []


@pytest.mark.parametrize("make", [lambda: terminal(200), log_file], ids=["terminal", "log"])
async def test_in_a_batch_text_from_outside_is_harmless(make):
    console = make()
    error = TaskEnded(f"b{HOSTILE}", task_id="x")
    events = [
        Failed(task_id=f"a{HOSTILE}", id="1", error=error),
        Updated(task_id=f"c{HOSTILE}", id="2", update=update(derivative(f"d{HOSTILE}"))),
    ]

    seen = "\n".join(await batch_after(*events, batch=Batch(1, 1, 3), console=console))

    assert f"a{HARMLESS}" in seen
    assert f"b{HARMLESS}" in seen
    assert make is log_file or (f"c{HARMLESS}" in seen and f"d{HARMLESS}" in seen)
    assert "\x1b[2J" not in written(console)


def test_at_the_end_of_a_batch_the_failures_stay_and_one_line_sums_it_up():
    console = terminal()

    kept = batch_kept(*MIDDLE, batch=Batch(1170, 19, 3811), end=(4976, 24, 0), console=console)

    assert re.fullmatch(r"✓ ━+  5,000 of 5,000 tasks 100 %", kept[0])
    assert kept[1] == "  4,976 completed    24 failed          0 waiting          7 files, 429 kB"
    assert kept[2:] == [
        *(f"✗ {task_id(n)}  is REJECTED: there will be no picture" for n in range(2, 7)),
        "  and 19 more failed",
        "over in 0 s: 24 failed, 0 requests",
    ]
    assert_restored(console)


@pytest.mark.parametrize(
    ("end", "error", "last"),
    [
        ((3, 0, 0), None, "complete in 0 s: 0 requests"),
        ((3, 0, 2), None, "stopped after 0 s: 0 requests"),
        ((3, 0, 2), KeyboardInterrupt(), "stopped after 0 s: 0 requests"),
        ((3, 0, 2), JournalError("gone"), "failed after 0 s: 0 requests"),
    ],
)
def test_a_batch_says_how_it_ended(end, error, last):
    console = terminal()

    assert batch_kept(batch=Batch(), end=end, error=error, console=console)[-1] == last
    assert_restored(console)


@pytest.mark.parametrize("make", [terminal, log_file])
def test_of_a_batch_whose_journal_could_not_be_opened_there_is_nothing_to_tell(make):
    console = make()

    batch_kept(batch=Batch(), error=JournalError("it is in use"), console=console)

    assert "".join(screen(console)) == ""


# --- how long a batch will take ----------------------------------------------------------------------------------


def left_after(*overs, waiting, every=30.0):
    trend = Trend()
    for turn, over in enumerate(overs):
        trend.seen(turn * every, over)
    return trend.left(waiting, (len(overs) - 1) * every)


def test_what_goes_on_steadily_will_take_as_long_as_its_pace_says():
    assert left_after(*range(0, 1000, 20), waiting=100) == pytest.approx(150.0)


@pytest.mark.parametrize(
    ("overs", "waiting"),
    [
        ([0, 20], 10),  # too early
        ([0] * 50, 10),  # nothing goes on
        ([*range(0, 400, 20), *[400] * 30], 10),  # nothing does any more
        ([int(1.3**n) for n in range(40)], 10_000),  # faster and faster
        ([n // 2 for n in range(60)], 5),  # too few
        (range(0, 1000, 20), 5000),  # longer than anybody has looked
        (range(0, 1000, 20), 0),
    ],
)
def test_where_it_would_be_a_guess_nothing_is_told(overs, waiting):
    assert left_after(*overs, waiting=waiting) is None


def test_before_a_minute_has_gone_by_no_time_is_told():
    assert left_after(*range(0, 2400, 40), waiting=10, every=1.0) is None
    assert left_after(*range(0, 6000, 40), waiting=10, every=1.0) is not None


async def test_the_time_left_is_told_roughly(time):
    batch, console = Batch(0, 0, 1000), terminal()
    with batching(batch, journal="n.db", rate=None, console=console):
        for over in range(0, 900, 20):
            batch.counts = (over, 0, 1000 - over)
            time.time += 30
            await drawn(console)

        assert screen(console)[2].endswith("about 3 min left")


def test_a_batch_of_weeks_keeps_few_points():
    trend, rate = Trend(), Rate()
    for second in range(0, 20 * 86_400, 60):
        trend.seen(second, second // 60)
        rate.count(float(second))

    assert len(trend._points) <= 64
    assert len(rate._counts) <= 11
    assert trend.left(60, 20 * DAY) == pytest.approx(HOUR, rel=0.01)


def test_what_may_leave_at_once_in_the_beginning_does_not_look_like_a_broken_limit():
    """Ten requests a second, and a burst of ten at the start."""
    rate = Rate()
    for number in range(10):
        rate.count(100.0 + number * 1e-3)
    shown = []
    for number in range(300):
        now = 100.1 + number / 10
        rate.count(now)
        shown.append(rate.at(now))

    assert max(shown) < 10.5
    assert shown[-1] == pytest.approx(10.0, rel=0.05)


@pytest.mark.parametrize(("status", "shown"), [("ACTIVE", False), ("FULFILLED", True), ("DONE", True)])
def test_a_status_that_was_seen_before_there_was_anything_is_not_the_last_word(status, shown):
    """A wait for derivatives asks for the task before it is imaged, and never again."""
    everything = update(*(derivative(kind) for kind in TYPES), complete=True)

    kept = kept_after({"status": status}, everything)

    assert (status in kept[0]) is shown
    assert kept[-1].startswith("complete")


def test_what_is_wrong_begins_with_the_reason_and_not_with_the_request():
    error = ServerError("GET /api/tasking/v2/tasks/t1/derivatives: 503: it is down; try again later")

    told = kept_after({"setbacks": 1, "error": error}, console=log_file())

    assert any("a look failed: 503: it is down" in line for line in told)
    assert not any("GET" in line for line in told)


# --- a batch in a log --------------------------------------------------------------------------------------------


def test_of_few_tasks_each_has_a_line(time):
    console = log_file()

    batch = Batch(0, 0, 3)

    def ends(*counts):
        batch.counts = counts
        time.time += 60

    events = (arrived(1), fetched(1), finished(1), partial(ends, 1, 0, 2), broken(2), finished(3, found={}))
    batch_kept(*events, batch=batch, end=(2, 1, 0), console=console)

    assert kept_lines(written(console)) == [
        "3 tasks; journal night.db",
        f"{task_id(1)}: complete: DC_AIRCRAFT, DC_VESSELS; 2 files",
        f"{task_id(2)}: failed: is REJECTED: there will be no picture",
        f"{task_id(3)}: complete",
        "over: 2 of 3 tasks completed, 1 failed, 1 file, 61 kB, 0 requests",
    ]


def test_a_task_that_ends_as_soon_as_the_journal_is_open_has_its_line_too():
    batch, console = Batch(), log_file()

    batch_kept(partial(setattr, batch, "counts", (1, 0, 0)), finished(1), batch=batch, console=console)

    assert f"{task_id(1)}: complete: DC_AIRCRAFT, DC_VESSELS; 2 files" in kept_lines(written(console))


def test_of_many_tasks_there_are_counts_now_and_then_and_the_first_failures(time):
    batch, console = Batch(100, 0, 900), log_file()

    async def watched():
        with batching(batch, journal="night.db", rate=10.0, console=console) as shown:
            for second in range(60):
                batch.counts = (100 + min(second, 35), 30, 870 - min(second, 35))
                shown.requested(requested())
                shown.told(broken(second) if second < 30 else finished(second))
                time.time += 1.0

    asyncio.run(watched())
    lines = kept_lines(written(console))

    first, *counts = [line for line in lines[:-1] if " over: " in line]
    begun = "100 of 1,000 tasks over: 100 completed, 0 failed; journal night.db, at most 10 requests a second"
    assert lines[0] == first == begun
    assert sum("failed: is REJECTED" in line for line in lines) == 20
    assert len(counts) == 5
    assert counts[-1] == "165 of 1,000 tasks over: 135 completed, 30 failed, 42 requests"
    assert lines[-1] == "stopped: 135 of 1,000 tasks completed, 30 failed, 835 waiting, 60 requests"
    assert len(lines) == 1 + 20 + 5 + 1


# --- how they are called -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["following", "batching"])
def test_without_rich_the_error_names_the_extra(name, monkeypatch):
    for module in [module for module in sys.modules if module.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "iceye_async.display.surfaces")
    monkeypatch.delattr("iceye_async.display.surfaces")

    shown = following(Wait()) if name == "following" else batching(Batch(), journal="n.db", rate=None)
    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[cli\]'"), shown:
        pass


# --- real ones ---------------------------------------------------------------------------------------------------


@pytest.fixture
def unhurried(monkeypatch):
    """A machine that draws all the time does nothing else."""
    monkeypatch.setattr(surfaces, "REDRAW", 0.02)
    monkeypatch.setattr(surfaces, "REDRAW_CALM", 0.02)


@pytest.mark.parametrize("make", [lambda: terminal(100), log_file], ids=["terminal", "log"])
async def test_a_real_wait_is_shown_to_its_end(make, tmp_path, unhurried):
    console = make()
    async with Sandbox(speed=math.inf) as sandbox, sandbox.client() as client:
        task = await ordered(sandbox, client)
        wait = client.await_derivatives(task.id, ["DC_VESSELS"])
        with following(wait, clock=client.clock, console=console) as shown:
            async for step in wait:
                shown.updated(step)
                async for event in client.download(step.fresh, to=tmp_path):
                    shown.told(event)

    seen = "\n".join(screen(console))
    assert re.search(r"7 detections", seen)
    assert re.search(r"complete.*: 1 of 1 ready, 1 file, 1\.3 kB", seen)
    assert f"task {task.id}" in uncoloured(written(console))
    assert console not in surfaces._taken


@pytest.mark.parametrize("make", [lambda: terminal(100), log_file], ids=["terminal", "log"])
async def test_a_real_batch_is_shown_to_its_end(make, tmp_path, unhurried):
    console = make()
    async with Sandbox(speed=math.inf) as sandbox, sandbox.client() as client:
        ids = [(await ordered(sandbox, client)).id for _ in range(2)]
        batch = client.await_batch([*ids, "no-such-task"], ["DC_VESSELS"], to=tmp_path, journal=tmp_path / "n.db")
        with batching(batch, journal="n.db", rate=None, console=console) as shown:
            async for event in batch:
                shown.told(event)

    seen = "\n".join(screen(console))
    assert "no-such-task" in seen
    assert re.search("over.*1 failed", seen)
    assert "3 of 3 tasks" in seen or "2 of 3 tasks completed" in seen
    assert console not in surfaces._taken
