"""`iceye-async demo`: the main job over real HTTP, in a sandbox whose clock runs fast.

What it does is what a user would write, and nothing else; it looks as `derivatives watch` does.
"""

from datetime import timedelta
from typing import TYPE_CHECKING

import click

from .. import Client, DerivativeType, ImagingMode, Task
from . import options
from .derivatives import follow
from .output import Output
from .running import answers, call

if TYPE_CHECKING:
    from ..sandbox import Sandbox

SPEED = 600.0
"""Sandbox seconds in a real one: the hour and a half until all is there takes nine."""
TYPES = (DerivativeType.VESSELS, DerivativeType.AIRCRAFT, DerivativeType.VEHICLES)


@click.command()
@click.option(
    "--to",
    type=options.place,
    shell_complete=options.folders,
    default="iceye-demo",
    metavar="FOLDER",
    help="Where they go.  [default: iceye-demo]",
)
@answers
async def demo(out: Output, to: str) -> None:
    """See the main job happen in a local sandbox.

    It needs no account and no network: it starts a sandbox, creates a task in it, waits for its derivatives, and
    downloads each. That takes ten seconds.
    """
    from ..sandbox import Sandbox

    # The task goes with its sandbox.
    call().go_on = None
    async with Sandbox(speed=SPEED) as sandbox, sandbox.client() as client:
        task = await _order(sandbox, client)
        out.task(task)
        out.remark(f"that task was created in a local sandbox, whose clock runs {SPEED:g} times as fast")
        files = await follow(out, client, client.await_derivatives(task.id, TYPES), to)
        for product in await client.products.list(task.id):
            files += await out.fetched(client.download(product, to=to, assets="quicklook-png"))
    out.done(files, to)
    out.remark("the detections, and the picture, are made up")


async def _order(sandbox: "Sandbox", client: Client) -> Task:
    now = sandbox.clock.utc()
    return await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode=ImagingMode.SPOTLIGHT,
        point_of_interest=(51.95, 4.05),
        acquisition_window=(now + timedelta(minutes=10), now + timedelta(hours=24, minutes=10)),
        product_types=["GRD"],
        derivative_product_types=TYPES,
    )
