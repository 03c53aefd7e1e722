"""`iceye-async batch`"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from ..batch import BatchReport
from ..client import Client
from ..errors import IceyeError, UsageError
from ..events import Event
from . import options
from .exits import Exit, code_of
from .ids import ids
from .output import Output
from .running import answers, call, connect
from .tasks import policy
from .words import PROGRAM, command

if TYPE_CHECKING:
    from ..batch.batch import Batch

_RATE = 10.0

rate = click.option(
    "--rate", type=options.amount, default=_RATE, metavar="N", help="Requests a second at most.  [default: 10]"
)
saved = options.file("--report", read=options.report, text="Save a row for each task: .json, .csv or .parquet.")


@click.group()
def batch() -> None:
    """Await and fetch the derivatives of many tasks."""


@batch.command("run")
@click.argument("task_ids", nargs=-1, metavar="[TASK_ID]...")
@options.file(
    "--ids", "lists", text="An id on each line; or - for the standard input.  May be repeated.", multiple=True
)
@options.file("--journal", text="What has become of each task; `batch resume` goes on with it.", required=True)
@options.derivative_types
@options.folder("Fetch each into FOLDER/TASK_ID as soon as it is there.", required=False)
@options.timeout
@options.every
@rate
@saved
@options.links
@answers
async def run_batch(
    out: Output, task_ids: tuple[str, ...], lists: tuple[str, ...], journal: str, types: tuple[str, ...],
    to: str | None, timeout: float | None, every: float | None, rate: float, report: str | None,
) -> Exit:  # fmt: skip
    """Wait for the derivatives of all these tasks. Ids come from arguments, files (--ids) or the standard input (-).

    The same command, or `batch resume`, goes on after it was stopped or killed.
    """
    found = ids(task_ids, lists)

    def begin(client: Client) -> "Batch":
        return client.await_batch(found, types or None, to=to, journal=journal, poll=policy(timeout, every))

    return await _drive(out, begin, journal, rate, report)


@batch.command("resume")
@click.argument("journal", type=click.Path(dir_okay=False))
@options.timeout
@options.every
@rate
@saved
@options.links
@answers
async def resume_batch(
    out: Output, journal: str, timeout: float | None, every: float | None, rate: float, report: str | None
) -> Exit:
    """Go on with a batch that was stopped or killed."""

    def begin(client: Client) -> "Batch":
        return client.await_batch(journal=journal, poll=policy(timeout, every))

    return await _drive(out, begin, journal, rate, report)


@batch.command("status")
@click.argument("journal", type=click.Path(dir_okay=False))
@answers
async def batch_status(out: Output, journal: str) -> None:
    """What has become of the tasks of a batch, also while it runs. Asks nothing of the service."""
    found = BatchReport.read(journal)
    out.report(found, journal, running=found.running)


def _go_on_with(journal: str) -> None:
    """The next command is `resume`, once there is a journal. Until then the ids are nowhere but in this one."""
    if not Path(journal).exists():
        return
    given = click.get_current_context().params
    flags = [flag for flag, name in (("--json", "as_json"), ("--links", "links"), ("--debug", "debug")) if given[name]]
    numbers = {"timeout": None, "every": None, "rate": _RATE}
    words = [f"--{name}={given[name]}" for name, usual in numbers.items() if given[name] != usual]
    words += [] if given["report"] is None else ["--report", given["report"]]
    call().go_on = command(["batch", "resume", journal, *words, *flags])


async def _drive(
    out: Output, begin: Callable[[Client], "Batch"], journal: str, rate: float, report: str | None
) -> Exit:
    """Show it to its end, and save what became of it."""
    requested: list[Callable[[Event], None]] = []

    def heard(event: Event) -> None:
        for hear in requested:
            hear(event)

    async with connect(rate=rate, on_event=heard) as client:
        pending = begin(client)
        try:
            with out.batching(pending, journal, rate) as shown:
                requested.append(shown.requested)
                async for event in pending:
                    shown.told(event)
        finally:
            # Before the client closes: requests that it cuts off would look like failures of the service.
            await pending.stop()
            _go_on_with(journal)
        found = await pending
    out.report(found, journal)
    if report is not None:
        _save(found, report)
    if not found.failed:
        return Exit.DONE
    if found.completed:
        return Exit.PARTLY
    codes = {code_of(error) for error in found.failed.values()}
    return codes.pop() if len(codes) == 1 else Exit.FAILED


def _save(found: BatchReport, report: str) -> None:
    try:
        found.save(report)
    except UsageError as error:
        # It could be written when the batch began.
        failure = IceyeError(f"{error}; `{PROGRAM} batch resume` with another --report saves it")
    else:
        return
    raise failure
