"""`iceye-async demo`: the main job over real HTTP, in a sandbox whose clock runs fast.

What it does is what a user would write, and nothing else; how it looks is in `screens`.
"""

from datetime import timedelta
from pathlib import Path

from .. import Client, DerivativeType, ImagingMode, Task
from ..sandbox import Sandbox
from .screens import Screen

SPEED = 600.0
"""Sandbox seconds in a real one: the hour and a half until all is there takes nine."""
TYPES = (DerivativeType.VESSELS, DerivativeType.AIRCRAFT, DerivativeType.VEHICLES)


async def demo(folder: Path, screen: Screen) -> None:
    """Create a task, wait for its derivatives, and download each when it arrives."""
    async with Sandbox(speed=SPEED) as sandbox, sandbox.client() as client:
        task = await _order(sandbox, client)
        began = sandbox.clock.now()
        with screen.follow(task, TYPES, lambda: sandbox.clock.now() - began):
            async for update in client.await_derivatives(task.id, TYPES):
                screen.updated(update)
                for derivative in update.fresh:
                    for path in await client.download(derivative, to=folder):
                        screen.arrived(derivative.type, path)
            for product in await client.products.list(task.id):
                for path in await client.download(product, to=folder, assets="quicklook-png"):
                    screen.arrived("quicklook", path)
        screen.finished(folder)


async def _order(sandbox: Sandbox, client: Client) -> Task:
    now = sandbox.clock.utc()
    return await client.tasks.create(
        contract_id=sandbox.contract_id,
        imaging_mode=ImagingMode.SPOTLIGHT,
        point_of_interest=(51.95, 4.05),
        acquisition_window=(now + timedelta(minutes=10), now + timedelta(hours=24, minutes=10)),
        product_types=["GRD"],
        derivative_product_types=TYPES,
    )
