"""What a user sees of a download: bars in a terminal and in a notebook, plain lines elsewhere."""

import asyncio
import io
import itertools
import logging
import os
import pty
import re
import signal
import subprocess
import sys
import types
from datetime import UTC, datetime, timedelta
from pathlib import Path

import attrs
import pytest
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live

from iceye_async import DownloadError, MissingExtra, TransportError, UsageError
from iceye_async.display import bars, files, markup, surfaces
from iceye_async.display.account import Account
from iceye_async.display.picture import Picture
from iceye_async.display.text import harmless, part
from iceye_async.events import Failed, Finished, Interrupted, Progressed, Started, Totals
from iceye_async.sandbox import LinkFault, Sandbox, Scenario

FOLDER = Path("products")
MB = 1_000_000


class Scripted:
    """A download that tells these events. What can be called is called instead, and awaited; an error is raised."""

    def __init__(self, *script):
        self._script = iter(script)
        self._paths = []

    def __aiter__(self):
        return self

    async def __anext__(self):
        for step in self._script:
            if isinstance(step, Exception):
                raise step
            if not callable(step):
                if isinstance(step, Finished):
                    self._paths.append(step.path)
                return step
            if (work := step()) is not None:
                await work
        raise StopAsyncIteration

    def __await__(self):
        return self._end().__await__()

    async def _end(self):
        async for _ in self:
            pass
        return tuple(self._paths)


def started(name="a.tif", size=100 * MB, resumed=0):
    return Started(asset=f"p1/{name}", path=FOLDER / name, size=size, resumed=resumed)


def progressed(name="a.tif", received=30 * MB, size=100 * MB, **of_all):
    """`of_all` are facts of the totals."""
    totals = Totals(**{"files": 3, "finished": 0, "received": received, "size": 300 * MB, "rate": 20.0 * MB, **of_all})
    return Progressed(
        asset=f"p1/{name}", path=FOLDER / name, received=received, size=size, rate=10.0 * MB, totals=totals
    )


def of_unknown_sizes(event):
    return attrs.evolve(event, totals=attrs.evolve(event.totals, size=None))


def interrupted(name="a.tif", wait=2.0):
    error = TransportError(f"p1/{name}: the connection was reset")
    return Interrupted(asset=f"p1/{name}", path=FOLDER / name, received=30 * MB, error=error, wait=wait)


def finished(name="a.tif", size=100 * MB, **facts):
    return Finished(asset=f"p1/{name}", path=FOLDER / name, size=size, sha256="00", **facts)


def failed(name="a.tif"):
    error = DownloadError(f"p1/{name}: the link host answered 404; ask for the item again")
    return Failed(asset=f"p1/{name}", path=FOLDER / name, error=error)


@pytest.fixture(autouse=True)
def plain_environment(monkeypatch):
    for name in ("NO_COLOR", "FORCE_COLOR", "COLUMNS", "LINES", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("TERM", "xterm-256color")
    # No time passes, so that rates and pauses stay as they were told; and each event is drawn at once.
    monkeypatch.setattr(surfaces, "now", lambda: 100.0)
    for name in ("REDRAW", "REDRAW_CALM", "REDRAW_NOTEBOOK"):
        monkeypatch.setattr(surfaces, name, 0.0)


def terminal(width=80, height=24, encoding="utf-8", **options):
    paper = io.TextIOWrapper(io.BytesIO(), encoding=encoding, write_through=True, newline="")
    options = {"force_terminal": True, "legacy_windows": False, "color_system": "standard", **options}
    return Console(file=paper, width=width, height=height, **options)


def written(console):
    """All that went to the console, as it went."""
    console.file.flush()
    return console.file.buffer.getvalue().decode(console.file.encoding)


def uncoloured(text):
    return re.sub(r"\x1b\[[\d;]*m", "", text)


def screen(console):
    """The lines that a terminal shows of it, scrolled away or not. It knows the few movements that bars make."""
    lines, row, column = [""], 0, 0
    for text, moves in re.findall(r"([^\x1b\r\n]+)|(\r|\n|\x1b\[[?\d;]*[A-Za-z])", written(console)):
        if moves == "\n":
            row, column = row + 1, 0
            lines += [""] * (row + 1 - len(lines))
        elif moves == "\r":
            column = 0
        elif moves.endswith("A"):
            row -= int(moves[2:-1])
        elif moves == "\x1b[2K":
            lines[row] = ""
        elif text:
            lines[row] = lines[row][:column].ljust(column) + text + lines[row][column + len(text) :]
            column += len(text)
    return [line.rstrip() for line in "\n".join(lines).rstrip().split("\n")]


async def seen_after(*events, console=None):
    """The screen as it is while a download is under way that told these events."""
    console = terminal() if console is None else console
    seen = []
    await bars(Scripted(*events, lambda: seen.extend(screen(console))), console=console)
    return seen


# --- a terminal --------------------------------------------------------------------------------------------------


async def test_a_file_under_way_has_its_name_a_bar_its_bytes_its_rate_and_the_time_left():
    row, _ = await seen_after(started(), progressed())

    assert re.fullmatch(r"a\.tif +━+╾?─+  +30 of 100 MB  +10 MB/s  +7 s", row)


async def test_the_last_row_is_the_whole():
    *_, row = await seen_after(started(), progressed(finished=1, received=150 * MB))

    assert re.fullmatch(r"1 of 3 files +━+╾?─+  +150 of 300 MB  +20 MB/s  +8 s", row)
    assert abs(row.count("━") - row.count("─")) <= 2


async def test_a_bar_begins_where_an_earlier_run_had_stopped():
    row, _ = await seen_after(started(resumed=50 * MB))

    assert "50 of 100 MB" in row
    assert abs(row.count("━") - row.count("─")) <= 2


async def test_of_a_file_of_unknown_size_the_bytes_are_shown_and_something_moves():
    account = Account()
    account.told(started(size=None), 0.0)
    account.told(progressed(received=431_000, size=None), 0.0)
    rows = []
    for moment in (0.0, 1.0):
        console = terminal()
        console.print(Picture(account, now=lambda moment=moment: moment))
        rows.append(screen(console)[0])

    assert all("431 kB" in row and " of " not in row for row in rows)
    assert rows[0].count("━") == rows[1].count("━") > 0
    assert rows[0] != rows[1]


async def test_while_the_size_of_some_file_is_unknown_the_whole_is_counted_in_files():
    *_, row = await seen_after(of_unknown_sizes(progressed(files=4, finished=2)))

    assert abs(row.count("━") - row.count("─")) <= 2


async def test_an_interrupted_file_says_when_it_goes_on_and_then_goes_on():
    console, seen = terminal(), []
    look = lambda: seen.append(screen(console)[0])  # noqa: E731 - it is short

    await bars(Scripted(progressed(), interrupted(), look, progressed(received=40 * MB), look), console=console)

    assert seen[0].endswith("30 of 100 MB         goes on in 2 s")
    assert "goes on" not in seen[1]
    assert "40 of 100 MB" in seen[1]


def test_the_time_until_a_file_goes_on_is_counted_down():
    account = Account()
    account.told(interrupted(wait=5.0), 100.0)
    console = terminal()
    for moment in (100.0, 102.5, 104.9, 105.1):
        console.print(Picture(account, now=lambda moment=moment: moment))

    assert re.findall(r"goes on \w+ ?\d*", written(console)) == [
        "goes on in 5",
        "goes on in 3",
        "goes on in 1",
        "goes on now",
    ]


def test_a_rate_that_was_not_heard_of_for_long_is_not_shown_as_if_it_were_true():
    account = Account()
    account.told(progressed(), 100.0)
    console = terminal()
    console.print(Picture(account, now=lambda: 111.0))

    for row in screen(console):
        assert row.endswith(" 0 B/s")


async def test_it_is_drawn_also_while_nothing_is_told(monkeypatch):
    monkeypatch.setattr(surfaces, "REDRAW", 0.001)
    console, drawn = terminal(), asyncio.Event()
    write = console.file.write

    def witnessed(text):
        drawn.set()
        return write(text)

    console.file.write = witnessed
    await bars(Scripted(progressed(), drawn.clear, drawn.wait, drawn.clear, drawn.wait), console=console)

    assert written(console).count("a.tif") > 2


async def test_a_file_of_which_every_byte_is_there_has_no_rate_any_more():
    row, _ = await seen_after(progressed(received=100 * MB))

    assert row.endswith(" 100 of 100 MB")


async def test_before_the_first_event_there_is_a_bar_that_moves():
    seen = await seen_after()

    assert len(seen) == 1
    assert set(seen[0]) == {"━", "─"}


async def test_a_few_files_that_are_whole_keep_a_line_each_and_the_end_is_one_line():
    console = terminal()
    download = Scripted(
        *(progressed(), finished(), progressed("b.tif"), finished("b.tif", size=61_000)),
        *(finished("c.tif", size=948, known=True), finished("d.tif", size=1000, verified=False)),
    )

    paths = await bars(download, console=console)

    assert paths == tuple(FOLDER / name for name in ("a.tif", "b.tif", "c.tif", "d.tif"))
    assert screen(console) == [
        "✓ a.tif  100 MB",
        "✓ b.tif  61 kB",
        "✓ c.tif  948 B, there already",
        "✓ d.tif  1.0 kB, size not checked",
        "4 files, 100 MB in 0 s; 1 there already",
    ]


async def test_files_that_were_there_before_anybody_told_how_many_there_are_have_their_lines_too():
    console = terminal()

    await bars(Scripted(*(finished(f"{n}.tif", known=True) for n in range(3))), console=console)

    assert screen(console)[:-1] == [f"✓ {n}.tif  100 MB, there already" for n in range(3)]


async def test_of_hundreds_of_files_only_those_under_way_are_shown_and_kept(monkeypatch):
    accounts, console, tallest = [], terminal(), 0
    monkeypatch.setattr(files, "Account", lambda: accounts.append(Account()) or accounts[-1])

    def look():
        nonlocal tallest
        tallest = max(tallest, len(screen(console)))
        assert len(accounts[0].under_way) <= 2

    names = [f"{n}.tif" for n in range(300)]
    steps = [
        (started(name), progressed(name, files=300, finished=n), look if n % 50 == 0 else finished, finished(name))
        for n, name in enumerate(names)
    ]
    script = [step for step in itertools.chain(*steps) if step is not finished]

    paths = await bars(Scripted(*script), console=console)

    assert len(paths) == 300
    assert tallest == 2
    assert screen(console) == ["300 files, 30 GB in 0 s"]


async def test_hundreds_of_files_that_were_there_already_are_one_line():
    console = terminal()

    await bars(Scripted(*(finished(f"{n}.tif", known=True) for n in range(300))), console=console)

    assert screen(console) == ["300 files, 30 GB in 0 s; 300 there already"]


async def test_what_has_no_room_is_counted_and_the_whole_is_always_seen():
    seen = await seen_after(*(progressed(f"{n}.tif", files=30) for n in range(30)), console=terminal(height=10))

    assert len(seen) == 9
    assert seen[-2] == "and 23 more"
    assert seen[-1].startswith("0 of 30 files")


@pytest.mark.parametrize("width", [*range(1, 24), 35, 36, 40, 63, 64, 80, 200])
async def test_no_line_is_wider_than_the_terminal(width):
    long = f"69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa_{'とても長い' * 5}_grd-tif.tif"
    console, widths = terminal(width), []
    events = (started(long), progressed(long, files=120), progressed("b.tif", size=None), interrupted("c.tif"))

    def look():
        widths.extend(cell_len(line) for line in screen(console))

    await bars(Scripted(*events, look, finished(long), finished("b.tif"), look, failed("c.tif"), look), console=console)

    assert 0 < max(widths) <= width


async def test_forty_columns_have_two_lines_for_each_file_and_nothing_is_missing():
    name = "69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa_grd-tif.tif"
    first, second, third, fourth = await seen_after(started(name), progressed(name), console=terminal(40))

    assert re.fullmatch(r"69b\w+…\w+_grd-tif\.tif  ━+╾?─+", first)
    assert re.fullmatch(r" +30 of 100 MB   10 MB/s +7 s", second)
    assert re.fullmatch(r"0 of 3 files +━+╾?─+", third)
    assert re.fullmatch(r" +30 of 300 MB   20 MB/s +14 s", fourth)


async def test_twenty_columns_have_the_name_and_the_bytes():
    name = "69be1c84-7a0e-4a54-9d0f-0b6a2f6fd0aa_grd-tif.tif"

    seen = await seen_after(started(name), progressed(name), console=terminal(20))

    assert seen == ["69be1c…a_grd-tif.tif", "━╾────  30 of 100 MB", "0/3", "╾─────  30 of 300 MB"]


async def test_a_failed_file_says_why_and_the_error_comes_when_the_bars_are_closed():
    console, error = terminal(), DownloadError("1 of 2 files did not arrive")

    with pytest.raises(DownloadError) as caught:
        await bars(Scripted(progressed(files=2), failed(), finished("b.tif"), error), console=console)

    assert caught.value is error
    assert screen(console) == [
        "✗ a.tif: the link host answered 404; ask for the item again",
        "✓ b.tif  100 MB",
        "1 of 2 files, 1 failed, 100 MB in 0 s",
    ]
    assert_restored(console)


async def test_of_hundreds_that_failed_the_first_say_why():
    console = terminal()

    await bars(Scripted(progressed(files=300), *(failed(f"{n}.tif") for n in range(300))), console=console)

    assert sum(line.startswith("✗") for line in screen(console)) == files.FEW


async def test_a_cancelled_download_leaves_the_terminal_as_it_was():
    console, under_way = terminal(), asyncio.Event()
    task = asyncio.create_task(bars(Scripted(progressed(), under_way.set, asyncio.Event().wait), console=console))
    await under_way.wait()

    task.cancel()

    with pytest.raises(asyncio.CancelledError):
        await task
    assert screen(console) == ["stopped: 0 of 3 files, 30 MB in 0 s"]
    assert_restored(console)


def assert_restored(console):
    cursor = re.findall(r"\x1b\[\?25[hl]", written(console))
    assert cursor[-1] == "\x1b[?25h"
    assert type(sys.stdout).__name__ != "FileProxy"
    assert console not in surfaces._taken


INTERRUPTED = """
import asyncio
from tests.io.test_bars import Scripted, progressed
from iceye_async.display import bars

asyncio.run(bars(Scripted(progressed(), lambda: print("ready"), asyncio.Event().wait)))
"""


def test_ctrl_c_leaves_the_terminal_as_it_was():
    ours, theirs = pty.openpty()
    run = subprocess.Popen(
        [sys.executable, "-c", INTERRUPTED],
        stdin=theirs,
        stdout=theirs,
        stderr=subprocess.PIPE,
        cwd=Path(__file__).parents[2],
        start_new_session=True,
    )
    os.close(theirs)
    heard = b""
    while b"ready" not in heard:
        heard += os.read(ours, 4096)

    run.send_signal(signal.SIGINT)

    _, complaint = run.communicate(timeout=20)
    while b"stopped" not in heard:
        heard += os.read(ours, 4096)
    os.close(ours)
    assert complaint.endswith(b"KeyboardInterrupt\n")
    assert heard.rindex(b"\x1b[?25h") > heard.rindex(b"\x1b[?25l")


async def test_what_a_program_prints_meanwhile_stands_above_the_bars(monkeypatch):
    console = terminal()
    monkeypatch.setattr(sys, "stdout", console.file)

    seen = await seen_after(progressed(), lambda: print("hello"), console=console)  # noqa: T201

    assert seen[0] == "hello"
    assert seen[1].startswith("a.tif")


async def test_what_a_program_writes_to_a_file_meanwhile_still_goes_there(monkeypatch):
    elsewhere = io.StringIO()
    monkeypatch.setattr(sys, "stdout", elsewhere)

    seen = await seen_after(progressed(), lambda: print("hello"))  # noqa: T201

    assert elsewhere.getvalue() == "hello\n"
    assert seen[0].startswith("a.tif")


async def test_bars_go_with_a_live_display_of_the_caller():
    """Below it, or, before rich 14.1, as plain lines above it."""
    console = terminal()

    with Live("outer", console=console, auto_refresh=False):
        paths = await bars(Scripted(progressed(), finished()), console=console)

    assert len(paths) == 1
    assert any("a.tif" in line and line.endswith(" 100 MB") for line in screen(console))


async def test_a_second_download_on_the_same_console_gets_plain_lines():
    console, first_draws = terminal(), asyncio.Event()
    second_is_over = asyncio.Event()

    async def second():
        await first_draws.wait()
        await bars(Scripted(progressed("b.tif"), finished("b.tif")), console=console)
        second_is_over.set()

    first = Scripted(progressed(files=1), first_draws.set, second_is_over.wait, finished())
    async with asyncio.TaskGroup() as group:
        group.create_task(bars(first, console=console))
        group.create_task(second())

    assert screen(console) == [
        *("b.tif: 100 MB", "1 file, 100 MB in 0 s"),
        *("✓ a.tif  100 MB", "1 file, 100 MB in 0 s"),
    ]


async def test_without_colours_what_is_there_and_what_is_missing_still_differ(monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")
    console = terminal()

    row, _ = await seen_after(progressed(), interrupted("b.tif"), failed("c.tif"), console=console), None

    assert any("━" in line and "─" in line for line in row)
    assert not re.search(r"\x1b\[[\d;]*(3|9)\d[\d;]*m", written(console))


async def test_a_terminal_of_another_encoding_gets_only_what_it_can_write():
    console = terminal(40, encoding="ascii")

    seen = await seen_after(
        *(progressed("長い.tif"), progressed(f"{'long' * 20}.tif"), interrupted("b.tif"), failed("c.tif")),
        *(finished("é.tif"), started("d.tif", size=None)),
        console=console,
    )

    assert written(console).isascii()
    assert any(line.startswith("??.tif") and "###" in line for line in seen)
    assert "ok ?.tif  100 MB" in seen
    assert any(".." in line for line in seen)


async def test_a_hostile_name_neither_moves_the_cursor_nor_becomes_markup():
    console, name = terminal(120), "\x1b[2J[red]x[bold]\u202e\u2028\r\n.tif"

    seen = await seen_after(progressed(name), interrupted(name), finished(name), failed(f"{name}2"), console=console)

    assert "✓ ?[2J[red]x[bold]????.tif  100 MB" in seen
    assert "\x1b[2J" not in written(console)
    assert not re.search("[\u202e\u2028]", written(console))


async def test_a_display_that_fails_is_given_up_and_the_download_goes_on(caplog):
    console = terminal()

    def broken(text):
        raise OSError(5, "the terminal is gone")

    def breaks():
        console.file.write = broken

    paths = await bars(Scripted(progressed(), breaks, progressed(), finished(), finished("b.tif")), console=console)

    assert len(paths) == 2
    assert [record.levelno for record in caplog.records if record.name == "iceye_async"] == [logging.WARNING]
    assert type(sys.stdout).__name__ != "FileProxy"


async def test_a_terminal_that_is_broken_from_the_start_is_no_reason_not_to_download(caplog):
    console = terminal()
    console.file.write = lambda text: 1 / 0

    assert len(await bars(Scripted(progressed(), finished()), console=console)) == 1
    assert [record.levelno for record in caplog.records if record.name == "iceye_async"] == [logging.WARNING]


# --- no terminal -------------------------------------------------------------------------------------------------


def log_file(encoding="utf-8"):
    return terminal(force_terminal=False, encoding=encoding)


EVENTS = (
    started(),
    progressed(),
    interrupted(),
    progressed(),
    finished(),
    failed("b.tif"),
    finished("c.tif", known=True),
)


async def test_without_a_terminal_there_is_a_line_for_each_end_and_each_interruption():
    console = log_file()

    await bars(Scripted(*EVENTS), console=console)

    assert written(console) == (
        "a.tif: interrupted at 30 MB: the connection was reset; goes on in 2 s\n"
        "a.tif: 100 MB\n"
        "b.tif: failed: the link host answered 404; ask for the item again\n"
        "c.tif: 100 MB, there already\n"
        "2 files, 1 failed, 200 MB in 0 s; 1 there already\n"
    )


async def test_a_dumb_terminal_gets_plain_lines(monkeypatch):
    monkeypatch.setenv("TERM", "dumb")
    console = terminal()

    await bars(Scripted(*EVENTS), console=console)

    assert written(console).count("\n") == 5
    assert "\x1b" not in written(console)
    assert "\r" not in written(console)


async def test_a_plain_line_is_never_wrapped_and_no_name_can_break_it():
    console, name = log_file(), "n" * 200 + "\r\n\x1b[2J"

    await bars(Scripted(finished(name)), console=console)

    assert written(console).splitlines()[0] == "n" * 200 + "???[2J: 100 MB"


async def test_plain_lines_keep_to_the_encoding():
    console = log_file(encoding="ascii")

    await bars(Scripted(finished("長い.tif"), failed("é.tif")), console=console)

    assert written(console).startswith("??.tif: 100 MB\n?.tif: failed")


async def test_a_download_with_nothing_to_fetch_says_nothing():
    console = log_file()

    assert await bars(Scripted(), console=console) == ()
    assert written(console) == ""


async def test_names_in_a_store_are_shown_without_their_prefix():
    console = log_file()

    await bars(Scripted(Finished(asset="p1/a", path="a/long/prefix/a.tif", size=5, sha256="00")), console=console)

    assert written(console).startswith("a.tif: 5 B\n")


# --- a notebook --------------------------------------------------------------------------------------------------


class Cell:
    """What a notebook shows below a cell: one bundle for each output, and how often it was replaced."""

    def __init__(self):
        self.outputs = []
        self.updates = 0

    def display(self, bundle, *, raw, display_id):
        assert raw
        assert display_id
        self.outputs.append(bundle)
        place = len(self.outputs) - 1

        def update(bundle, *, raw):
            assert raw
            self.updates += 1
            self.outputs[place] = bundle

        return types.SimpleNamespace(update=update)


@pytest.fixture
def cell(monkeypatch):
    cell = Cell()
    module = types.ModuleType("IPython.display")
    module.display = cell.display
    monkeypatch.setitem(sys.modules, "IPython", types.ModuleType("IPython"))
    monkeypatch.setitem(sys.modules, "IPython.display", module)
    return cell


async def test_in_a_notebook_one_output_is_replaced_and_no_widget_is_needed(cell, monkeypatch):
    monkeypatch.setitem(sys.modules, "ipywidgets", None)
    seen = []

    look = lambda: seen.append(cell.outputs[0]["text/plain"])  # noqa: E731 - it is short
    await bars(Scripted(progressed(), look, finished()), console=Console(force_jupyter=True))

    assert re.match(r"a\.tif +━+╾?─+ +30 of 100 MB", seen[0])
    assert cell.outputs[0]["text/plain"] == "✓ a.tif  100 MB\n1 file, 100 MB in 0 s\n"
    assert len(cell.outputs) == 1
    assert cell.updates >= 3


async def test_in_a_notebook_a_name_is_text(cell):
    await bars(Scripted(failed("<script>&.tif"), finished("<b>.tif")), console=Console(force_jupyter=True))

    html = cell.outputs[0]["text/html"]
    assert "&lt;script&gt;&amp;.tif" in html
    assert "<script" not in html
    assert "<b>" not in html


def contrast(*colours):
    """How well one is read on the other, as WCAG 2 has it: 1 not at all, 3 enough for large text and signs."""
    lights = []
    for colour in colours:
        parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
        parts = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
        lights.append(0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


@pytest.mark.parametrize("page", ["#ffffff", "#111111"])
async def test_in_a_notebook_it_is_read_on_a_light_page_and_on_a_dark_one(cell, page):
    seen = set()

    look = lambda: seen.update(re.findall("color: (#[0-9a-f]{6})", cell.outputs[0]["text/html"]))  # noqa: E731
    download = Scripted(progressed(), look, interrupted(), look, finished(), failed("b.tif"), look)
    await bars(download, console=Console(force_jupyter=True))
    look()

    assert len(seen) >= 4
    assert min(contrast(colour, page) for colour in seen) >= 3
    assert min(contrast(colour, page) for colour in (markup.GREEN, markup.AMBER, markup.RED, markup.BLUE)) >= 3


async def test_a_notebook_without_colours(cell, monkeypatch):
    monkeypatch.setenv("NO_COLOR", "1")

    await bars(Scripted(progressed(), finished(), failed("b.tif")), console=Console(force_jupyter=True))

    assert "color" not in cell.outputs[0]["text/html"]


async def test_of_many_files_a_notebook_keeps_few_lines(cell):
    ends = [end for n in range(40) for end in (finished(f"{n}.tif"), failed(f"{n}.xml"))]

    await bars(Scripted(progressed(files=80), *ends), console=Console(force_jupyter=True))

    assert cell.outputs[0]["text/plain"].count("\n") == files.FEW + 1


# --- how it is called --------------------------------------------------------------------------------------------


async def test_a_download_that_was_iterated_before_is_counted_whole():
    console, download = log_file(), Scripted(finished(), progressed("b.tif", finished=1, files=2), finished("b.tif"))
    async for _ in download:
        break

    paths = await bars(download, console=console)

    assert len(paths) == 2
    assert written(console).splitlines()[-1].startswith("2 files, ")


async def test_sums_that_are_older_or_newer_than_what_was_told_do_not_miscount():
    """Files are carried by several threads, which tell and count at the same time."""
    console = terminal()
    stale, early = progressed("b.tif", files=2, finished=0), progressed("b.tif", files=2, finished=2)

    await bars(Scripted(finished(), stale, early, finished("b.tif")), console=console)

    assert screen(console)[-1] == "2 files, 200 MB in 0 s"


async def test_an_event_of_another_kind_is_passed_over():
    console = log_file()

    await bars(Scripted("something new", finished()), console=console)

    assert len(written(console).splitlines()) == 2


async def test_a_download_that_was_awaited_inside_is_a_usage_error():
    with pytest.raises(UsageError, match=r"without an await inside; not tuple"):
        await bars((FOLDER / "a.tif",), console=log_file())


async def test_without_rich_the_error_names_the_extra(monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == "rich"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "rich", None)
    monkeypatch.delitem(sys.modules, "iceye_async.display.surfaces")
    monkeypatch.delitem(sys.modules, "iceye_async.display.picture")
    monkeypatch.delattr("iceye_async.display.surfaces")
    monkeypatch.delattr("iceye_async.display.picture")

    with pytest.raises(MissingExtra, match=r"pip install 'iceye-async\[cli\]'"):
        await bars(Scripted())


def test_the_package_has_no_other_names_than_it_says():
    from iceye_async import display

    with pytest.raises(AttributeError, match="no attribute 'beams'"):
        _ = display.beams


@pytest.mark.parametrize(
    ("count", "whole", "shown"),
    [
        (0, 0, "0 of 0 B"),
        (12, 948, "12 of 948 B"),
        (600 * MB, 1300 * MB, "0.6 of 1.3 GB"),
        (999_600, 999_600, "1.0 of 1.0 MB"),
        (9_960_000, 9_960_000, "10 of 10 MB"),
    ],
)
def test_a_part_is_told_in_the_unit_of_the_whole(count, whole, shown):
    assert part(count, whole) == shown


def test_harmless_text_has_one_line():
    assert harmless("a\u2028b\u2029c\x85d") == "a?b?c?d"


# --- a real one --------------------------------------------------------------------------------------------------


def at_once(**facts):
    derivatives = dict.fromkeys(["DC_VESSELS", "DC_AIRCRAFT"], 0.0)
    return Scenario(decided=0, imaged=0, fulfilled=0, done=0, derivatives=derivatives, **facts)


async def ordered(client, sandbox):
    now = datetime.now(UTC)
    task = await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode="SPOTLIGHT",
        point_of_interest=(60.2, 24.9),
        acquisition_window=(now - timedelta(hours=1), now + timedelta(hours=24)),
        product_types=["GRD"],
        derivative_product_types=["DC_VESSELS", "DC_AIRCRAFT"],
    )
    return task.id


async def test_a_real_download_is_shown_from_its_first_byte_to_its_end(tmp_path):
    console = terminal(100)
    async with Sandbox(at_once()) as sandbox, sandbox.client() as client:
        task_id = await ordered(client, sandbox)
        paths = await bars(client.download(task_id, to=tmp_path), console=console)
        again = await bars(client.download(task_id, to=tmp_path), console=console)

    first, second = screen(console)[: len(paths) + 1], screen(console)[len(paths) + 1 :]
    assert set(paths) == set(again)
    assert all(path.exists() for path in paths)
    assert re.search(r"grd-tif\.tif +[━╾─]+ ", uncoloured(written(console)))
    assert {line.split()[1] for line in first[:-1]} == {path.name for path in paths}
    assert first[-1].startswith(f"{len(paths)} files, ")
    assert second[-1].endswith(f"; {len(paths)} there already")
    assert_restored(console)


async def test_a_real_connection_that_breaks_is_told_and_the_file_comes_whole(tmp_path):
    console = log_file()
    async with Sandbox(at_once(sizes={"grd-tif": 3 * MB})) as sandbox, sandbox.client() as client:
        sandbox.link_faults.append(LinkFault(path="grd-tif", cut=MB))
        task_id = await ordered(client, sandbox)

        (path,) = await bars(client.download(task_id, to=tmp_path, assets=["grd-tif"]), console=console)

    first, second, third = written(console).splitlines()
    assert re.match(rf"{re.escape(path.name)}: interrupted at .*; goes on in \d+ s", first)
    assert second == f"{path.name}: 3.0 MB"
    assert third.startswith("1 file, 3.0 MB in ")
