"""What a type checker makes of the public calls. Checked with `mypy --strict`, never run."""

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, assert_type

import pystac
from matplotlib.figure import Figure
from obstore.store import MemoryStore

import iceye_async
from iceye_async import (
    Allowance,
    AngleRange,
    BatchEvent,
    BatchOutcome,
    BatchReport,
    Client,
    ClientCredentials,
    Contract,
    Derivative,
    DerivativeSet,
    DerivativeType,
    DerivativeUpdate,
    Feasibility,
    IceyeError,
    Interval,
    PollPolicy,
    Price,
    Product,
    ProductAsset,
    ProductType,
    ProductUpdate,
    Task,
    TaskRequest,
    TaskStatus,
    Token,
    TokenSource,
)
from iceye_async.batch import Updated
from iceye_async.display import bars
from iceye_async.downloads import DownloadEvent


class Source:
    async def token(self, stale: str | None) -> Token:
        return Token("a", 3600)


def a_source_of_the_callers_own_fits() -> TokenSource:
    return Source()


async def clients() -> None:
    async with Client(auth="a-token") as client:
        assert_type(client, Client)
    Client(auth=Source())
    Client(auth=ClientCredentials("https://id.example/token", "an-id", "a-secret"), rate_limit=None)
    assert_type(Client.from_env(), Client)


async def products(client: Client) -> None:
    assert_type(await client.products.list("t1"), tuple[Product, ...])
    assert_type(await client.products.list("t1", ProductType.GRD), tuple[Product, ...])
    assert_type(await client.products.list("t1", "GRD-COG"), tuple[Product, ...])
    async for product in client.products.list("t1"):
        assert_type(product, Product)
    pages = client.products.list("t1")
    assert_type(await anext(pages), Product)
    assert_type(await pages, tuple[Product, ...])
    assert_type(pages.latest, tuple[Product, ...])


async def derivatives(client: Client) -> None:
    assert_type(await client.derivatives.get("t1"), DerivativeSet)
    assert_type(await client.await_derivatives("t1"), DerivativeSet)
    assert_type(await client.await_derivatives("t1", "DC_VESSELS"), DerivativeSet)
    assert_type(await client.await_derivatives("t1", [DerivativeType.VESSELS, "DC_NEW"]), DerivativeSet)
    waiting = client.await_derivatives("t1", {DerivativeType.VESSELS})
    async for update in waiting:
        assert_type(update, DerivativeUpdate)
        assert_type(update.fresh, tuple[Derivative, ...])
        assert_type(update.missing, frozenset[DerivativeType | str])
    assert_type(await anext(waiting), DerivativeUpdate)
    assert_type(waiting.latest, DerivativeUpdate | None)


async def downloads(client: Client, product: Product, derivative: Derivative, found: DerivativeSet) -> None:
    assert_type(await client.download(product, "folder"), tuple[Path, ...])
    assert_type(await client.download(derivative, to=Path("folder"), assets=["geojson"]), tuple[Path, ...])
    assert_type(await client.download([product, derivative, found], "folder", overwrite=True), tuple[Path, ...])
    assert_type(await client.download("t1", "folder"), tuple[Path, ...])
    async for event in client.download(found, "folder"):
        assert_type(event, DownloadEvent)
    assert_type(await client.download("t1", to=MemoryStore()), tuple[str, ...])
    assert_type(await bars(client.download("t1", to="folder")), tuple[Path, ...])
    assert_type(await bars(client.download("t1", to=MemoryStore())), tuple[str, ...])


async def tasks(client: Client, order: TaskRequest) -> None:
    assert_type(await client.tasks.get("t1"), Task)
    assert_type(await client.tasks.cancel("t1"), Task)
    assert_type(await client.tasks.list(contract_id="c1"), tuple[Task, ...])
    async for task in client.tasks.list():
        assert_type(task.incidence_angle, AngleRange | None)
    assert_type((await client.tasks.scene("t1")).imaging_time, Interval | None)
    price = client.tasks.price(contract_id="c1", imaging_mode="SPOTLIGHT", point_of_interest=(60.0, 24.0))
    assert_type(await price, Price)
    assert_type(await client.tasks.feasibility([order]), tuple[Feasibility, ...])


async def contracts(client: Client) -> None:
    assert_type(await client.contracts.list(), tuple[Contract, ...])
    assert_type((await client.contracts.get("c1")).sla, Allowance | None)


def assets(product: Product) -> None:
    assert_type(product.data_asset, ProductAsset | None)
    assert_type(product.thumbnail, ProductAsset | None)


async def waits(client: Client) -> None:
    assert_type(await client.await_task("t1"), Task)
    assert_type(await client.await_task("t1", {TaskStatus.DONE, "ARCHIVED"}, poll=PollPolicy()), Task)
    following = client.await_task("t1", "ACTIVE")
    async for task in following:
        assert_type(task, Task)
    assert_type(following.latest, Task | None)
    assert_type(await client.await_products("t1"), tuple[Product, ...])
    waiting = client.await_products("t1", [ProductType.GRD, "SLC"])
    async for update in waiting:
        assert_type(update, ProductUpdate)
        assert_type(update.fresh, tuple[Product, ...])
        assert_type(update.missing, frozenset[ProductType | str])
    assert_type(waiting.latest, ProductUpdate | None)


async def batches(client: Client) -> None:
    batch = client.await_batch(["t1"], {DerivativeType.VESSELS, "NEW"}, to="folder", journal=Path("j.db"))
    async for event in batch:
        assert_type(event, BatchEvent)
        if isinstance(event, Updated):
            assert_type(event.update, DerivativeUpdate)
    assert_type(batch.latest, BatchReport)
    report = await batch
    assert_type(report, BatchReport)
    assert_type(report.completed["t1"], BatchOutcome)
    assert_type(report.failed["t1"], IceyeError)


async def in_a_notebook(client: Client, product: Product, derivatives: DerivativeSet) -> None:
    assert_type(await iceye_async.notebook.plot(client, derivatives), Figure)
    assert_type(await iceye_async.notebook.plot(client, [derivatives, *derivatives]), Figure)
    assert_type((await iceye_async.notebook.show(client, product)).png, bytes)
    assert_type(product.to_pystac("folder"), pystac.Item)
    await iceye_async.geo.to_geodataframe(client, derivatives)
    iceye_async.geo.from_files([Path("a.geojson"), "folder"])


async def what_is_pending_is_a_coroutine(client: Client) -> None:
    coroutine: Coroutine[Any, Any, DerivativeSet] = client.await_derivatives("t1")
    assert_type(await coroutine, DerivativeSet)
    waiting = asyncio.create_task(client.await_derivatives("t1"))
    listing = asyncio.create_task(client.products.list("t1"))
    download = asyncio.create_task(client.download("t1", "folder"))
    tasks: tuple[asyncio.Task[DerivativeSet], asyncio.Task[tuple[Product, ...]], asyncio.Task[tuple[Path, ...]]]
    tasks = (waiting, listing, download)
    assert_type(await tasks[0], DerivativeSet)
    assert_type(await waiting, DerivativeSet)
    assert_type(await listing, tuple[Product, ...])
    assert_type(await download, tuple[Path, ...])
    assert_type(await asyncio.wait_for(client.await_derivatives("t1"), 60), DerivativeSet)
    both = await asyncio.gather(client.await_derivatives("t1"), client.products.list("t1"))
    assert_type(both, tuple[DerivativeSet, tuple[Product, ...]])
    async with asyncio.TaskGroup() as group:
        task = group.create_task(client.await_derivatives("t1"))
    assert_type(task.result(), DerivativeSet)


def from_the_outside(client: Client) -> None:
    assert_type(asyncio.run(client.await_derivatives("t1")), DerivativeSet)
