"""Group I in a real kernel and in IPython: cells that use a client, forget an await, are run again, are interrupted."""

import asyncio
import contextlib
import re
import signal
import sys
from pathlib import Path

import pytest
import pytest_asyncio

from iceye_async import BatchReport
from iceye_async.sandbox import Fault, LinkFault, Sandbox, Scenario
from iceye_async.sandbox.chance import Chance
from tests.desk import AT_ONCE, ordered
from tests.kernel import Kernel, environment

pytestmark = pytest.mark.asyncio(loop_scope="module")

SIGNED = re.compile(r"(Signature|Expires|Key-Pair-Id)=(?!\.\.\.)")
"""In each link that can be followed, and nowhere else."""
BOTH = ["DC_VESSELS", "DC_AIRCRAFT"]
SIZE = 3_000_000
SEED = 7
SCENARIO = Scenario(
    **AT_ONCE,
    seed=SEED,
    derivatives={"DC_VESSELS": 0.0, "DC_AIRCRAFT": 0.0},
    courses={
        "going": {"derivatives": {"DC_VESSELS": 0.0}},
        "large": {"sizes": {"DC_VESSELS": SIZE, "DC_AIRCRAFT": SIZE}},
    },
)
MINTED = Chance(SEED, "tokens")
TOKENS = [MINTED.secret(24) for _ in range(300)]
"""Those that a sandbox with this seed gives, in their order."""
SOON = 10.0
"""Real seconds within which a cell that is interrupted has stopped; on an idle machine it is less than one."""
BEGIN = """
import asyncio, gc, os, threading, time
from pathlib import Path
from iceye_async import *
from iceye_async.display import bars, following
QUICK = PollPolicy(first=0.01, growth=1.0, ceiling=0.01)
RARE = PollPolicy(first=600.0, ceiling=600.0)
"""


class Told(list):
    """A list that tells when something is appended."""

    def __init__(self, tell):
        super().__init__()
        self._tell = tell

    def append(self, thing):
        super().append(thing)
        self._tell()


class Service:
    """A sandbox in the loop of the tests, in real time, and tasks in it."""

    def __init__(self, sandbox, patron):
        self.sandbox, self._patron = sandbox, patron
        self._heard = asyncio.Event()
        sandbox.requests = Told(self._heard.set)
        sandbox._links.requests = Told(self._heard.set)

    async def task(self, reference=""):
        """The id of a new task; both types are there. Of `going` there are vessels, and never any aircraft."""
        changes = {"reference": reference or None, "derivative_product_types": BOTH}
        return (await ordered(self.sandbox, self._patron, **changes)).id

    def asked(self, part):
        """How often something with this in its path was asked for."""
        paths = [path for _, path in self.sandbox.requests] + [heard.path for heard in self.sandbox.link_requests]
        return sum(part in path for path in paths)

    async def heard(self, part, more_than=0):
        """Come back when it was asked for more often than that."""
        while self.asked(part) <= more_than:
            self._heard.clear()
            await self._heard.wait()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def opened():
    async with Sandbox(SCENARIO) as sandbox, sandbox.client(rate_limit=None) as patron:
        yield Service(sandbox, patron)


@pytest.fixture
def service(opened):
    """Where nothing goes wrong, unless the test says so."""
    yield opened
    opened.sandbox.faults.clear()
    opened.sandbox.link_faults.clear()


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def started(opened, tmp_path_factory):
    async with Kernel(tmp_path_factory.mktemp("kernel"), **opened.sandbox.environment) as kernel:
        await kernel.run(BEGIN)
        yield kernel


def secrets_in(service, text):
    """What nobody may see, of all that there is in this text."""
    known = [service.sandbox.client_secret, *TOKENS]
    return [each for each in known if each in text] + [found[0] for found in SIGNED.finditer(text)]


@pytest_asyncio.fixture(loop_scope="module")
async def page(started, service):
    """A page with a `client`. In the end nothing is on stderr but what a batch says when it is stopped, and no secret
    is anywhere, the file in which the page is saved included."""
    started.cells.clear()
    started.messages.clear()
    await started.run("client = Client.from_env(rate_limit=None)")
    yield started
    await started.run("await client.close(); gc.collect()")
    lines = [line for cell in started.cells for line in cell.complaints.splitlines()]
    assert [line for line in lines if not line.startswith("the batch was stopped: ")] == []
    assert started.log == ""
    assert secrets_in(service, "\n".join([*started.messages, started.saved()])) == []


# --- I1: one cell after the other ------------------------------------------------------------------------------------


async def test_i01_a_client_of_one_cell_works_in_those_that_follow(page, service):
    """`await`, `async for` and `async with` stand alone, in cells of their own."""
    task_id = await service.task()

    await page.run(f"TASK = {task_id!r}\ntask = await client.tasks.get(TASK)")
    await page.run(
        "async for update in client.await_derivatives(TASK):\n    print(sorted(update.ready), update.complete)"
    )
    await page.run("async with Client.from_env() as other:\n    products = await other.products.list(TASK)")
    shown = await page.run("task.id == TASK, len(products), len(await client.derivatives.get(TASK))")

    assert "'DC_VESSELS'" in page.cells[2].printed
    assert "True" in page.cells[2].printed
    assert shown.result == "(True, 1, 2)"


async def test_i01_a_wait_that_one_cell_began_goes_on_in_the_next(page, service):
    """And nothing is asked for a second time."""
    task_id = await service.task()
    await page.run(f"wait = client.await_derivatives({task_id!r})\nasync for update in wait:\n    break")
    asked = service.asked(task_id)

    shown = await page.run("len(await wait)")

    assert shown.result == "2"
    assert service.asked(task_id) == asked


async def test_i01_a_client_that_no_name_holds_is_closed_and_says_why(page, service):
    """What it gave does not keep it: one line can make it, but the next could not close it."""
    cell = await page.run("await Client.from_env().tasks.list()", fails=True)

    assert cell.error.startswith("StateError: ")
    assert "variable" in cell.error


async def test_i01_a_download_with_bars_leaves_one_picture_in_its_cell(page, service):
    """Which is drawn over while it goes on, and is saved as it was in the end."""
    task_id = await service.task()

    cell = await page.run(f"paths = await bars(client.download({task_id!r}, 'with-bars'))")

    [html] = cell.html
    assert "7 files" in html
    assert [output.output_type for output in cell.outputs] == ["display_data"]
    assert (await page.run("len(paths), all(path.is_file() for path in paths)")).result == "(7, True)"


async def test_i01_a_wait_that_is_followed_leaves_one_picture_in_its_cell(page, service):
    task_id = await service.task()

    cell = await page.run(
        f"""
wait = client.await_derivatives({task_id!r})
with following(wait) as screen:
    async for update in wait:
        screen.updated(update)
"""
    )

    [html] = cell.html
    assert "DC_VESSELS" in html
    assert [output.output_type for output in cell.outputs] == ["display_data"]


async def test_i01_a_wait_that_one_cell_shows_keeps_up_with_what_later_cells_do(page, service):
    """In the output where it was shown."""
    task_id = await service.task()
    shown = await page.run(f"wait = client.await_derivatives({task_id!r})\nwait")
    [before] = shown.html

    await page.run("derivatives = await wait\nawait asyncio.sleep(1.2)")

    [after] = shown.html
    assert ("DC_VESSELS" in before, "DC_VESSELS" in after) == (False, True)
    assert "complete" in after


class Terminal:
    """IPython as in a terminal, line by line."""

    def __init__(self, process):
        self.process = process
        self.shown = ""

    async def type(self, *lines):
        for line in lines:
            self.process.stdin.write(f"{line}\n".encode())
            await self.process.stdin.drain()

    async def shows(self, text):
        """Come back when this is there."""
        async with asyncio.timeout(2 * SOON):
            while text not in self.shown:
                more = await self.process.stdout.read(65_536)
                assert more, f"it ended without {text!r}: {self.shown}"
                self.shown += re.sub(r"\x1b\[[0-9;]*m", "", more.decode(errors="replace"))


@pytest_asyncio.fixture(loop_scope="module")
async def terminal(service, tmp_path):
    """IPython with a `client`. In the end it has not complained, and nowhere stands a secret."""
    variables = environment(tmp_path, PYTHONUNBUFFERED="1", TERM="dumb", **service.sandbox.environment)
    command = [sys.executable, "-m", "IPython", "--simple-prompt", "--no-banner", "--no-confirm-exit"]
    pipe = asyncio.subprocess.PIPE
    process = await asyncio.create_subprocess_exec(
        *command, stdin=pipe, stdout=pipe, stderr=pipe, cwd=tmp_path, env=variables
    )
    terminal = Terminal(process)
    try:
        await terminal.type("import asyncio", "from iceye_async import *", "client = Client.from_env(rate_limit=None)")
        yield terminal
        await terminal.type("await client.close()", "print('ea' 'sy')")
        await terminal.shows("easy")
        process.stdin.close()
        complaints = (await process.stderr.read()).decode()
        assert await process.wait() == 0
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    assert complaints == ""
    assert secrets_in(service, terminal.shown) == []


async def test_i01_in_a_terminal_with_ipython_a_client_works_line_by_line(terminal, service):
    """Its loop runs only while a line does, and it is the same for all lines."""
    task_id = await service.task()

    await terminal.type(
        f"TASK = {task_id!r}",
        "(await client.tasks.get(TASK)).id == TASK",
        "async for update in client.await_derivatives(TASK):",
        "    print('ready:', *sorted(update.ready))",
        "",
        "async with Client.from_env() as other: print('products:', len(await other.products.list(TASK)))",
        "",
        "paths = await client.download(TASK, 'files')",
        "print('paths:', len(paths))",
    )

    await terminal.shows("paths: 7")
    assert "ready: DC_AIRCRAFT DC_VESSELS" in terminal.shown
    assert "products: 1" in terminal.shown
    assert "Out[5]: True" in terminal.shown


# --- I2: another loop or thread of the same kernel -------------------------------------------------------------------

ELSEWHERE = """
found = []
async def elsewhere():
    for make in (
        lambda: client.tasks.get(TASK),
        lambda: client.await_derivatives(TASK),
        lambda: client.download(TASK, "nowhere"),
        lambda: client.close(),
    ):
        began = time.monotonic()
        try:
            await make()
        except Exception as error:
            found.append((type(error).__name__, "event loop" in str(error), time.monotonic() - began < 1))
thread = threading.Thread(target=asyncio.run, args=[elsewhere()])
thread.start()
thread.join()
found
"""


async def test_i02_a_thread_of_the_kernel_that_uses_the_client_of_the_page_is_refused_at_once(page, service):
    """And the page goes on with it."""
    task_id = await service.task()
    await page.run(f"TASK = {task_id!r}\nassert len(await client.derivatives.get(TASK)) == 2")
    asked = service.asked(task_id)

    cell = await page.run(ELSEWHERE)

    assert cell.result == repr([("StateError", True, True)] * 4).replace("), (", "),\n (")
    assert service.asked(task_id) == asked
    assert (await page.run("(await client.tasks.get(TASK)).id == TASK")).result == "True"


# --- I3: without await -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("run", ["asyncio.run({})", "asyncio.get_event_loop().run_until_complete({})"])
async def test_i03_what_cannot_run_inside_of_a_running_loop_says_so_at_once_and_harms_nothing(page, service, run):
    """It is asyncio's own error; the wait is as it was."""
    task_id = await service.task()
    await page.run(f"wait = client.await_derivatives({task_id!r})")

    failed = await page.run(run.format("wait"), fails=True)

    assert failed.error.startswith("RuntimeError: ")
    assert "running" in failed.error
    assert failed.seconds < SOON
    assert service.asked(task_id) == 0
    assert (await page.run("len(await wait)")).result == "2"


async def test_i03_what_was_only_written_down_says_that_nobody_awaits_it(page, service, tmp_path):
    """On the page and as text; and nothing was asked."""
    task_id = await service.task()
    await page.run(f"""
wait = client.await_derivatives({task_id!r})
others = [
    client.products.list({task_id!r}),
    client.download({task_id!r}, {str(tmp_path)!r}),
    client.await_batch([{task_id!r}]),
]
""")

    cell = await page.run("wait")
    printed = await page.run("print(wait, *others, sep='\\n')")

    assert "not awaited" in cell.html[0]
    assert printed.printed.count("not awaited yet") == 4
    assert service.asked(task_id) == 0
    await page.run("for each in others:\n    each.close()")
    await page.run("derivatives = await wait")


async def test_i03_what_is_dropped_without_await_warns_once(started, service):
    task_id = await service.task()
    await started.run("client = Client.from_env()")

    cell = await started.run(f"wait = client.await_derivatives({task_id!r})\ndel wait")

    assert cell.complaints.count("never awaited") == 1
    assert (await started.run("await client.close(); gc.collect()")).complaints == ""
    started.cells.clear()


SCRIPT = """
import asyncio, sys
from iceye_async import Client

async def main():
    async with Client.from_env() as client:
        return len(await client.await_derivatives({task_id!r}))

print(asyncio.run(main()), "derivatives")
"""


async def test_i03_a_script_runs_it_all_inside_of_asyncio_run(service, tmp_path):
    task_id = await service.task()
    variables = environment(tmp_path, **service.sandbox.environment)

    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", SCRIPT.format(task_id=task_id), stdout=-1, stderr=-1, env=variables, cwd=tmp_path
    )
    out, err = await process.communicate()

    assert (out.decode(), err.decode(), process.returncode) == ("2 derivatives\n", "", 0)


async def test_i03_so_does_a_thread_of_a_kernel_with_a_client_of_its_own(page, service):
    """While the page uses its own."""
    task_id = await service.task()

    cell = await page.run(
        SCRIPT.format(task_id=task_id).replace(
            "print(asyncio.run(main()), ", "await asyncio.to_thread(asyncio.run, main()), ("
        )
    )

    assert cell.result == "(2, 'derivatives')"


# --- I4: the button that interrupts ----------------------------------------------------------------------------------


async def interrupted(page, code, reached):
    """The cell, interrupted as soon as that is reached."""
    cell = page.begin(code)
    with contextlib.suppress(TimeoutError):
        async with asyncio.timeout(SOON):
            await reached(cell)
    await page.interrupt(cell)
    assert cell.error.startswith(("CancelledError", "KeyboardInterrupt")), f"it ended by itself: {cell.traceback}"
    return cell


def printed(page, text):
    return lambda cell: page.prints(cell, text)


@pytest.fixture
def soon(record_property):
    """Checks that a cell has stopped soon after it was interrupted, and tells how soon."""

    def check(cell):
        record_property("ms from interrupts to the ends of their cells", round(cell.seconds * 1000))
        assert cell.seconds < SOON

    return check


FOLLOWED = """
with following(wait) as screen:
    async for update in wait:
        screen.updated(update)
        print("seen")
"""


@pytest.mark.parametrize(
    "drive", ["\nasync for update in wait:\n    print('seen')", FOLLOWED], ids=["plain", "followed"]
)
async def test_i04_a_wait_that_sleeps_until_its_next_look_stops_at_once(page, service, soon, drive):
    """It could be hours until then. What had come is on `.latest`, and the same wait goes on."""
    task_id = await service.task("going")

    stopped = await interrupted(
        page, f"wait = client.await_derivatives({task_id!r}, poll=RARE){drive}", printed(page, "seen")
    )

    soon(stopped)
    assert (await page.run("[str(kind) for kind in wait.latest.ready]")).result == "['DC_VESSELS']"
    assert (await page.run("len(await client.await_derivatives(wait.task_id, 'DC_VESSELS')) > 0")).result == "True"
    again = await interrupted(page, "print('again')\nawait wait", printed(page, "again"))
    soon(again)


async def test_i04_a_look_that_hangs_is_given_up_and_the_same_wait_comes_to_its_end(page, service, soon):
    task_id = await service.task()
    service.sandbox.faults.append(Fault(call="listTaskDerivatives", stall=0))

    stopped = await interrupted(
        page,
        f"wait = client.await_derivatives({task_id!r})\nawait wait",
        lambda cell: service.heard(f"{task_id}/derivatives"),
    )

    soon(stopped)
    assert (await page.run("len(await wait)")).result == "2"


STALLS, IS_SLOW = LinkFault(times=2, stall=SIZE // 2), LinkFault(times=2, delay=600.0)
DOWNLOADS = {
    "await, stalls": ("await download", STALLS),
    "async for, stalls": ("async for event in download: pass", STALLS),
    "bars, stalls": ("await bars(download)", STALLS),
    "await, is slow": ("await download", IS_SLOW),
}


@pytest.mark.parametrize(("drive", "fault"), DOWNLOADS.values(), ids=DOWNLOADS)
async def test_i04_a_download_from_a_host_that_does_not_answer_stops_and_goes_on_where_it_was(
    page, service, soon, drive, fault, tmp_path
):
    """What had come stays in its `.part`, and is not fetched again."""
    task_id = await service.task("large")
    service.sandbox.link_faults.append(fault)
    before = service.asked("detections.geojson")
    begin = f"""
derivatives = await client.derivatives.get({task_id!r})
download = client.download(derivatives, {str(tmp_path)!r})
"""

    async def reached(cell):
        await service.heard("detections.geojson", before + 1)
        if fault.stall is not None:
            await until(lambda: sum(part.stat().st_size > 0 for part in tmp_path.glob(".*.part")) == 2)

    stopped = await interrupted(page, begin + drive, reached)

    soon(stopped)
    parts = list(tmp_path.glob(".*.part"))
    assert len(parts) == (2 if fault.stall is not None else 0)
    heard = len(service.sandbox.link_requests)
    assert (await page.run("len(await download), len(download.latest)")).result == "(2, 2)"
    assert sorted(path.stat().st_size for path in tmp_path.glob("*.geojson")) == [SIZE, SIZE]
    ranges = [request.range for request in service.sandbox.link_requests[heard:]]
    assert not parts or all(given and not given.startswith("bytes=0-") for given in ranges)


def state(pid):
    """What a process does, as Linux says it: S where it waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


async def until(reached):
    """Come back when it is so."""
    async with asyncio.timeout(SOON):
        while not reached():  # noqa: ASYNC110 - it happens in another process
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("drive", ["await batch", "async for event in batch: pass"], ids=["await", "async for"])
async def test_i04_a_batch_stops_and_its_journal_is_free_for_the_next_cell(page, service, soon, drive, tmp_path):
    """What was over is on `.latest`; the same call goes on, and so does the batch itself."""
    over, going = await service.task(), await service.task("going")
    journal = str(tmp_path / "batch.db")
    call = f"client.await_batch([{over!r}, {going!r}], journal={journal!r}, to={str(tmp_path)!r}, poll=RARE)"
    looked = f"{going}/derivatives"

    async def reached(cell):
        await service.heard(looked)
        await until(lambda: len(list(tmp_path.glob("*/*.geojson"))) == 3)
        await until(lambda: over in BatchReport.read(journal).completed)

    stopped = await interrupted(page, f"batch = {call}\n{drive}", reached)

    soon(stopped)
    shown = await page.run("report = batch.latest\nlist(report.completed), len(report.failed)")
    assert shown.result == f"(['{over}'], 0)"
    heard, looks = len(service.sandbox.link_requests), service.asked(looked)
    again = await interrupted(page, f"batch = {call}\nawait batch", lambda cell: service.heard(looked, looks))
    soon(again)
    assert len(service.sandbox.link_requests) == heard, "what was there was fetched again"
    looks = service.asked(looked)
    soon(await interrupted(page, "await batch", lambda cell: service.heard(looked, looks)))


async def test_i04_a_loop_around_a_wait_stops_with_it_and_so_do_its_tasks(page, service, soon):
    """Several waits at once, in a group: the cell is over when all of them are."""
    tasks = [await service.task("going") for _ in range(3)]
    code = f"""
waits = [client.await_derivatives(each, poll=RARE) for each in {tasks!r}]
async def follow(wait):
    async for update in wait:
        print("seen", flush=True)
async with asyncio.TaskGroup() as group:
    for wait in waits:
        group.create_task(follow(wait))
"""

    async def reached(cell):
        await page.prints(cell, "seen\nseen\nseen")

    soon(await interrupted(page, code, reached))

    assert (await page.run("[len(wait.latest.ready) for wait in waits]")).result == "[1, 1, 1]"
    assert (await page.run("len([task for task in asyncio.all_tasks() if 'follow' in repr(task)])")).result == "0"


async def test_i04_in_a_terminal_with_ipython_ctrl_c_keeps_what_had_come_and_a_new_call_goes_on(terminal, service):
    """IPython does not cancel the line that it stops, but lets it go on beside the next ones: so the wait itself is
    still being driven, says so, and goes on here when that line is cancelled."""
    task_id = await service.task("going")
    await terminal.type(
        f"wait = client.await_derivatives({task_id!r}, poll=PollPolicy(first=600.0, ceiling=600.0))",
        "async for update in wait: print('se' 'en')",
        "",
    )
    await terminal.shows("seen")

    # Where it comes while something is being done, and not while it sleeps, the line ends as any other would.
    await until(lambda: state(terminal.process.pid) == "S")
    terminal.process.send_signal(signal.SIGINT)
    await terminal.shows("KeyboardInterrupt")
    await terminal.type(
        "print('latest:', *wait.latest.ready)",
        f"print('new:', len(await client.await_derivatives({task_id!r}, 'DC_VESSELS')))",
        "async with asyncio.timeout(5): await wait",
        "",
        "[task.cancel() for task in asyncio.all_tasks() if task is not asyncio.current_task()]; await asyncio.sleep(0)",
        "async with asyncio.timeout(0.1): await wait",
        "",
        "print('fin' 'ished')",
    )
    await terminal.shows("finished")

    assert "latest: DC_VESSELS" in terminal.shown
    assert "new: 2" in terminal.shown
    assert "is being driven already" in terminal.shown
    assert "TimeoutError" in terminal.shown.partition("is being driven already")[2]


# --- I5: a cell that is run again ------------------------------------------------------------------------------------


async def test_i05_a_second_client_on_the_journal_of_one_that_is_under_way_is_told_who_has_it(page, service, tmp_path):
    """The page still has the first, half-way; it goes on undisturbed."""
    over, going = await service.task(), await service.task("going")
    call = f"await_batch([{over!r}, {going!r}], journal={str(tmp_path / 'batch.db')!r}, poll=QUICK)"
    await page.run(f"first = client.{call}\nasync for event in first:\n    break")

    second = await page.run(f"async with Client.from_env() as other:\n    await other.{call}", fails=True)

    assert second.error.startswith("JournalError")
    assert "another batch of this process" in second.error
    await page.run(f"async for event in first:\n    if {over!r} in first.latest.completed:\n        break")
    await page.run("first.close()")


async def test_i05_a_cell_with_a_batch_that_is_run_again_goes_on_where_it_was(page, service, tmp_path):
    """Its names are bound anew, the client's too, and nobody closes anything."""
    over, going = await service.task(), await service.task("going")
    cell = f"""
again = Client.from_env(rate_limit=None)
tasks, files, journal = [{over!r}, {going!r}], {str(tmp_path)!r}, {str(tmp_path / "batch.db")!r}
batch = again.await_batch(tasks, to=files, journal=journal, poll=QUICK)
async for event in batch:
    if {over!r} in batch.latest.completed:
        break
"""
    await page.run(cell)
    fetched = len(service.sandbox.link_requests)

    await page.run("await again.close()")
    await page.run(cell)

    assert len(service.sandbox.link_requests) == fetched
    assert (await page.run("len(batch.latest.completed), len(batch.latest.failed)")).result == "(1, 0)"
    await page.run("batch.close()\nawait again.close()")


async def test_i05_a_cell_with_a_download_that_is_run_again_while_the_first_is_half_way_has_one_writer(
    page, service, tmp_path
):
    """Whoever comes second is refused at once, and the first comes to its end."""
    task_id = await service.task("large")
    cell = f"""
derivatives = await client.derivatives.get({task_id!r})
{{name}} = client.download(derivatives, {str(tmp_path)!r})
async for event in {{name}}:
    if event.__class__.__name__ == "Progressed":
        break
"""
    await page.run(cell.format(name="first"))
    second = await page.run(
        f"""
async with Client.from_env() as other:
    try:
        paths = await other.download(derivatives, {str(tmp_path)!r})
    except DownloadError as error:
        print(*{{type(each).__name__ for each in error.failed.values()}})
"""
    )

    last = await page.run("paths = await first\nlen(paths)")

    assert second.printed == "InProgress\n"
    assert second.seconds < SOON
    assert last.result == "2"
    assert sorted(path.stat().st_size for path in tmp_path.glob("*.geojson")) == [SIZE, SIZE]
    assert not list(tmp_path.glob(".*.part"))


# --- I6: early breaks ------------------------------------------------------------------------------------------------

BREAKS = 200


async def test_i06_many_early_breaks_in_cells_are_silent_and_leave_nothing_open(page, service):
    """No 'Unclosed' and no 'never awaited' on the page; see also the fixture."""
    task_id = await service.task("going")
    code = f"""
for _ in range({BREAKS}):
    async for product in client.products.list({task_id!r}):
        break
    async for update in client.await_derivatives({task_id!r}, poll=QUICK):
        break
"""

    count = """
gc.collect()
left = len([each for each in gc.get_objects() if type(each).__name__ in {"Pages", "DerivativeWait"}])
left, len([task for task in asyncio.all_tasks() if "iceye" in repr(task)])
"""
    before = await page.run(count)

    await page.run(code)

    assert (await page.run("del product, update")).complaints == ""
    assert (await page.run(count)).result == before.result


# --- I7: what a page shows, and what is saved with it ----------------------------------------------------------------

THINGS = """
task = await client.tasks.get(TASK)
products = await client.products.list(TASK)
product = products[0]
key = next(iter(product.assets))
asset = product.assets[key]
wait = client.await_derivatives(TASK)
async for update in wait:
    break
derivatives = await wait
derivative = next(iter(derivatives))
pages = client.products.list(TASK)
async for _ in pages:
    break
download = client.download(derivatives, FOLDER)
async for event in download:
    break
paths = await download
batch = client.await_batch([TASK], journal=FOLDER + "/batch.db", poll=QUICK)
report = await batch
"""
NAMES = (
    *("client", "client.tasks", "client.products", "client.derivatives", "client.contracts"),
    *("task", "products", "product", "product.assets", "asset", "product.__geo_interface__"),
    *(
        "wait",
        "update",
        "derivatives",
        "derivative",
        "derivative.assets",
        "pages",
        "download",
        "event",
        "batch",
        "report",
    ),
)


@pytest_asyncio.fixture(loop_scope="module")
async def things(page, service, tmp_path):
    """A page on which there is one of each thing."""
    task_id = await service.task()
    await page.run(f"TASK, FOLDER = {task_id!r}, {str(tmp_path)!r}{THINGS}")
    return page


async def test_i07_no_output_and_no_saved_page_holds_a_token_or_a_signature(things, service):
    """Each thing as a result, shown, printed, and as the dictionary of its attributes."""
    for name in NAMES:
        await things.run(name)
    await things.run(f"for each in ({', '.join(NAMES)}):\n    display(each)")
    await things.run(f"for each in ({', '.join(NAMES)}):\n    print(each, repr(each), [each], sep='\\n')")
    await things.run(f"[vars(each) for each in ({', '.join(NAMES)}) if hasattr(each, '__dict__')]")
    await things.run("%whos")

    saved = things.saved()

    assert secrets_in(service, saved) == []
    # That they are there, and only not shown: otherwise nothing above would say anything.
    known = await things.run("['Signature' in each.href for each in (asset, derivative.assets[0])]")
    assert known.result == "[True, True]"


async def test_i07_a_link_that_somebody_prints_is_found(things, service):
    """What these tests look for is there to be found."""
    await things.run("print(asset.href, client._session._bearer.fresh.value, os.environ['ICEYE_CLIENT_SECRET'])")

    found = secrets_in(service, things.saved())
    things.cells.pop()
    things.messages[:] = [message for message in things.messages if not secrets_in(service, message)]

    assert len(found) == 5


async def test_i07_the_tab_key_offers_names_and_reveals_nothing(things, service):
    asked = len(service.sandbox.requests)
    offered = {name: await things.completions(f"{name}.") for name in NAMES}

    assert {"await_derivatives", "download", "close"} <= {each.rpartition(".")[2] for each in offered["client"]}
    assert "latest" in {each.rpartition(".")[2] for each in offered["wait"]}
    assert "thumbnail" in {each.rpartition(".")[2] for each in offered["product"]}
    assert [key for key in await things.completions("product.assets['") if "quicklook" in key]
    assert not [name for names in offered.values() for name in names if name.rpartition(".")[2].startswith("_")]
    assert len(service.sandbox.requests) == asked


async def test_i07_the_help_of_things_reveals_nothing(things, service):
    """Shift+Tab, `?` and `??`."""
    helps = [await things.help(name, source=source) for name in NAMES for source in (False, True)]

    assert "one set of credentials and one event loop" in helps[0]
    assert all(helps)
    assert secrets_in(service, "".join(helps)) == []


FAILURES = {
    "refused": ("await client.download(derivatives, FOLDER, assets='no-such-asset')", "UsageError"),
    "not found": ("await client.tasks.get('3fa85f64-5717-4562-b3fc-2c963f66afa6')", "TaskNotFound"),
    "a file in the way": (
        """
other = Path(FOLDER, "other")
paths = await client.download(asset_of, other)
(other / ".iceye-async.json").unlink()
await client.download(asset_of, other)
""",
        "DownloadError",
    ),
    "a link that the host refuses": ("await client.download(asset_of, FOLDER + '/refused')", "LinkExpired"),
    "an error of the service": ("await client.tasks.get(TASK)", "ServerError"),
    "an answer that cannot be read": ("await client.products.list(TASK)", "DecodeError"),
    "a token that no header can hold": ("Client(auth=chr(10) + os.environ['ICEYE_CLIENT_SECRET'])", "UsageError"),
    "after close": ("await client.close()\nawait client.tasks.get(TASK)", "StateError"),
}
FAULTS = {
    "an error of the service": Fault(call="getTask", status=500, times=10),
    "an answer that cannot be read": Fault(call="listTaskProducts", body=b'{"data": [{"id": 1}]}', times=10),
}


async def test_i07_the_traceback_of_an_error_reveals_nothing(things, service):
    """Not even in IPython's verbose mode, in which it shows the values of all variables of its lines."""
    await things.run("%xmode Verbose")
    await things.run("asset_of = [derivative]")
    for name, (code, error) in FAILURES.items():
        service.sandbox.faults[:] = [FAULTS[name]] if name in FAULTS else []
        service.sandbox.link_faults[:] = [LinkFault(status=403, times=10)] if "host" in name else []

        failed = await things.run(code, fails=True)

        assert failed.error.startswith(error), failed.traceback
        assert secrets_in(service, failed.traceback) == [], name
        assert " = " in failed.traceback
    await things.run("%xmode Context")


HANGING = {
    "a look": ("await client.await_derivatives(TASK)", "listTaskDerivatives", "/derivatives"),
    "a call": ("await client.tasks.get(TASK)", "getTask", "/tasks/"),
    "the token": ("async with Client.from_env() as other:\n    await other.tasks.get(TASK)", "token", "/token"),
}


@pytest.mark.parametrize(("code", "call", "part"), HANGING.values(), ids=HANGING)
async def test_i07_the_traceback_of_an_interrupt_reveals_nothing(page, service, code, call, part):
    """It leads through the request that hangs, and the frames of it know the token or the secret that was sent."""
    task_id = await service.task()
    await page.run("%xmode Verbose")
    await page.run(f"TASK = {task_id!r}\nassert len(await client.derivatives.get(TASK)) == 2")
    service.sandbox.faults.append(Fault(call=call, stall=0))
    asked = service.asked(part)

    stopped = await interrupted(page, code, lambda cell: service.heard(part, asked))

    await page.run("%xmode Context")
    assert secrets_in(service, stopped.traceback) == []
    assert " = " in stopped.traceback
