"""`iceye-async products`"""

import click

from ..client import Client
from ..errors import NotFound
from ..models import Product
from . import options
from .exits import Exit, PartlyThere
from .output import Output
from .running import answers, connect


@click.group()
def products() -> None:
    """See and fetch the pictures of a task."""


@products.command("list")
@click.argument("task_id")
@options.product_types
@options.links
@answers
async def list_products(out: Output, task_id: str, kinds: tuple[str, ...]) -> None:
    """The products of a task.

    One on a line: id, type, mode, when it was taken, keys of its assets."""
    async with connect() as client:
        found, missing = await _products(client, task_id, kinds)
        for product in found:
            out.product(product)
        if missing:
            raise _not_all(task_id, missing)
        if not found:
            out.remark(f"task {task_id} has no such products yet; `iceye-async tasks get` tells how far it is")


@products.command("download")
@click.argument("task_id")
@options.product_types
@options.folder("Where the files go; it is made where there is none.")
@click.option(
    "--asset", "assets", multiple=True, metavar="KEY",
    help="Only these: by key (quicklook-png), role (thumbnail) or media type (image/tiff); may be repeated.",
)  # fmt: skip
@options.overwrite
@answers
async def download_products(
    out: Output, task_id: str, kinds: tuple[str, ...], to: str, assets: tuple[str, ...], overwrite: bool
) -> Exit:
    """Fetch the products of a task. Run again, it goes on where it was."""
    async with connect() as client:
        found, missing = await _products(client, task_id, kinds)
        if not found:
            out.remark(f"task {task_id} has no such products yet; `iceye-async tasks get` tells how far it is")
            return Exit.NOT_FOUND
        files = await out.fetched(client.download(found, to, assets=assets or None, overwrite=overwrite))
        out.done(files, to)
    if missing:
        raise _not_all(task_id, missing)
    return Exit.DONE


async def _products(client: Client, task_id: str, kinds: tuple[str, ...]) -> tuple[list[Product], list[str]]:
    """Those that are there, and the types of which there are none. Raises `NotFound` where there are none at all."""
    if not kinds:
        return [*await client.products.list(task_id)], []
    found: list[Product] = []
    missing: dict[str, NotFound | None] = {}
    for kind in kinds:
        try:
            products = await client.products.list(task_id, kind)
        except NotFound as error:
            missing[kind] = error
        else:
            found += products
            missing |= {} if products else {kind: None}
    errors = [error for error in missing.values() if error is not None]
    if not found and errors:
        raise errors[0]
    return found, [*missing] if found else []


def _not_all(task_id: str, missing: list[str]) -> PartlyThere:
    return PartlyThere(
        f"task {task_id} has no {', '.join(missing)} yet; the same command brings them when they are there"
    )
