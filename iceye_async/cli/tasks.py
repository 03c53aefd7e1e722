"""`iceye-async tasks`"""

from datetime import UTC, datetime, timedelta
from itertools import chain
from typing import Any

import click

from ..client import Client
from ..errors import ApiError, DecodeError, UsageError
from ..models import Task
from ..protocol.ordering import TaskRequest
from ..protocol.waiting import PollPolicy
from . import options
from .facts import chosen, moment
from .output import Output
from .running import answers, call, confirm, connect
from .words import command


@click.group()
def tasks() -> None:
    """Order radar pictures, and follow what becomes of them."""


@tasks.command("list")
@click.option("--contract", "contract_id", type=options.word, metavar="ID", help="Only those of this contract.")
@click.option("--since", type=options.when, metavar="WHEN", help="Only those created after this date or time (UTC).")
@click.option("--until", type=options.when, metavar="WHEN", help="Only those created before it.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Stop after so many.")
@answers
async def list_tasks(
    out: Output, contract_id: str | None, since: datetime | None, until: datetime | None, limit: int | None
) -> None:
    """The tasks that these credentials may see.

    One on a line: id, status, mode, when it was created, reference."""
    async with connect() as client:
        found = 0
        async for task in client.tasks.list(contract_id=contract_id, created_after=since, created_before=until):
            out.task(task)
            found += 1
            if found == limit:
                break
        if not found:
            out.remark("there are no such tasks")


@tasks.command("get")
@click.argument("task_id")
@answers
async def get_task(out: Output, task_id: str) -> None:
    """All that the service tells of a task."""
    async with connect() as client:
        out.task(await client.tasks.get(task_id), alone=True)


@tasks.command("create")
@click.option(
    "--contract",
    "contract_id",
    type=options.word,
    metavar="ID",
    help="Under which it is ordered; needed where there are several.",
)
@options.mode
@click.option("--point", "point_of_interest", type=options.point, required=True, metavar="LAT,LON", help="In degrees.")
@click.option(
    "--window", "acquisition_window", type=options.window, required=True, metavar="START/END",
    help="When it may be taken: two dates or times, UTC unless they say otherwise.",
)  # fmt: skip
@options.ordered_products
@options.ordered_derivatives
@click.option("--reference", type=options.word, metavar="TEXT", help="A name of your own, by which it is found again.")
@click.option("--exclusivity", type=options.word, metavar="WORD", help="As the contract allows.")
@click.option("--priority", type=options.word, metavar="WORD", help="As the contract allows.")
@click.option("--sla", type=options.word, metavar="WORD", help="As the contract allows.")
@click.option("--eula", type=options.word, metavar="WORD", help="As the contract allows.")
@click.option("--look-side", type=options.word, metavar="SIDE", help="LEFT, RIGHT or ANY.")
@click.option("--pass-direction", type=options.word, metavar="DIRECTION", help="ASCENDING, DESCENDING or ANY.")
@click.option(
    "--incidence", "incidence_angle", type=options.angles, metavar="MIN,MAX", help="Degrees from the vertical."
)
@click.option("--duration", "imaging_duration", type=click.IntRange(min=1), metavar="SECONDS", help="Of the imaging.")
@options.yes
@answers
async def create_task(out: Output, contract_id: str | None, yes: bool, **order: Any) -> None:
    """Order a radar picture. That may cost money, so it is asked first."""
    order = {name: value for name, value in order.items() if value not in {None, ()}}
    async with connect() as client:
        contract_id = await _only_contract(client) if contract_id is None else contract_id
        whole = TaskRequest(contract_id=contract_id, **order)
        if not yes:
            confirm([_told(whole), await _price(client, whole)], "Order it?")
        # By the service's clock. After it was sent nothing is as wrong as sending it again.
        since = moment(datetime.now(UTC) + timedelta(seconds=client.skew or 0.0, minutes=-1))
        call().go_on = command(["tasks", "list", "--contract", whole.contract_id, "--since", since])
        out.task(await client.tasks.create(contract_id=whole.contract_id, **order), alone=True)


async def _only_contract(client: Client) -> str:
    found = await client.contracts.list()
    if len(found) != 1:
        names = ", ".join(one.id for one in found) or "none"
        raise UsageError(f"say under which contract it is ordered, with --contract; there are: {names}")
    return found[0].id


def _told(order: TaskRequest | Task) -> str:
    lat, lon = order.point_of_interest
    opens, closes = order.acquisition_window
    wanted = ", ".join(chain(order.product_types or (), order.derivative_product_types or ()))
    more = [("reference", order.reference), *chosen(order)]
    return (
        f"{order.imaging_mode} of {lat:g}, {lon:g} (latitude, longitude), {moment(opens)} to {moment(closes)}, "
        f"under contract {order.contract_id}{f', with {wanted}' if wanted else ''}"
        f"{''.join(f', {name} {value}' for name, value in more if value is not None)}"
    )


async def _price(client: Client, order: TaskRequest) -> str:
    """What the service says it costs, where it says that."""
    try:
        price = await client.tasks.price(
            contract_id=order.contract_id,
            imaging_mode=order.imaging_mode,
            point_of_interest=order.point_of_interest,
            exclusivity=order.exclusivity,
            priority=order.priority,
            sla=order.sla,
            eula=order.eula,
        )
    except (ApiError, DecodeError):
        return "the service does not say what it costs"
    return f"price: {price.amount} {price.currency}, as the service has it (perhaps in cents: that is not documented)"


@tasks.command("cancel")
@click.argument("task_id")
@options.yes
@answers
async def cancel_task(out: Output, task_id: str, yes: bool) -> None:
    """Cancel a task that is RECEIVED or ACTIVE. That may cost money, so it is asked first."""
    async with connect() as client:
        if not yes:
            found = await client.tasks.get(task_id)
            confirm([f"task {found.id} is {found.status}", _told(found)], "Cancel it?")
        call().go_on = command(["tasks", "get", task_id])
        out.task(await client.tasks.cancel(task_id), alone=True)


@tasks.command("watch")
@click.argument("task_id")
@options.until
@options.timeout
@options.every
@answers
async def watch_task(
    out: Output, task_id: str, until: tuple[str, ...], timeout: float | None, every: float | None
) -> None:
    """Wait until a task is in a status, and tell each change."""
    async with connect() as client:
        wait = client.await_task(task_id, until or None, poll=policy(timeout, every))
        with out.following(wait, client.clock) as shown:
            async for task in wait:
                shown.updated(task)


def policy(timeout: float | None, every: float | None) -> PollPolicy:
    """How a wait asks."""
    usual = PollPolicy()
    ceiling = usual.ceiling if every is None else every
    return PollPolicy(
        first=min(usual.first, ceiling), ceiling=ceiling, timeout=usual.timeout if timeout is None else timeout
    )
