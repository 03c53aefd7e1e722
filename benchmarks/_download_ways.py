"""What the processes of `download.py` do: fetch in one of the ways, poll meanwhile, or serve.

python benchmarks/_download_ways.py WAY FOLDER URL...
python benchmarks/_download_ways.py poll WAY POLLED TINY FOLDER URL...
python benchmarks/_download_ways.py sandbox SIZE PART
"""

import asyncio
import importlib
import json
import sys
import time
from collections.abc import Callable, Coroutine, Sequence
from functools import partial
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

MIB = 2**20
EVERY = 0.02
"""Seconds from one poll to the next."""
IDLE = 3.0
"""Seconds of polling where nothing is fetched."""


async def plain(urls: Sequence[str], folder: Path, chunk: int) -> None:
    """What most people write, with aiohttp."""
    import aiohttp

    options: dict[str, Any] = {"read_bufsize": 2**18} if chunk >= MIB else {}

    async def fetch(url: str, path: Path) -> None:
        async with http.get(url) as response:
            response.raise_for_status()
            with path.open("wb") as file:
                async for piece in response.content.iter_chunked(chunk):
                    file.write(piece)

    async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=None), **options) as http:
        await asyncio.gather(*(fetch(url, folder / f"{number}.bin") for number, url in enumerate(urls)))


async def stac_asset(urls: Sequence[str], folder: Path) -> None:
    """As `stac_asset.download_file` does it."""
    config = importlib.import_module("stac_asset").Config(http_client_timeout=None)
    async with await importlib.import_module("stac_asset.http_client").HttpClient.from_config(config) as client:
        for number, url in enumerate(urls):
            await client.download_href(url, folder / f"{number}.bin")


async def planet(urls: Sequence[str], folder: Path) -> None:
    """As `OrdersClient.download_asset` does it, without its progress bar; without a key, which no signed link takes."""
    models, no_key = importlib.import_module("planet.models"), importlib.import_module("httpx").Auth()
    async with importlib.import_module("planet").Session(auth=no_key) as session:
        for number, url in enumerate(urls):
            async with session.stream(method="GET", url=url) as response:
                await models.StreamingBody(response).write(folder / f"{number}.bin", progress_bar=False)


async def iceye_async(urls: Sequence[str], folder: Path) -> None:
    """As a user of this package does it. The API is not asked: the links are there."""
    from iceye_async import Client
    from iceye_async.models import Derivative, DerivativeAsset

    found = [
        Derivative(
            id=f"derivative-{number}",
            type="DC_VESSELS",
            task_id=f"task-{number}",
            assets=(DerivativeAsset(href=url, type=PurePosixPath(urlsplit(url).path).suffix[1:]),),
        )
        for number, url in enumerate(urls)
    ]
    async with Client("http://127.0.0.1:1", auth="benchmark") as client:
        await client.download(found, to=folder)


FETCH: dict[str, Callable[[Sequence[str], Path], Coroutine[Any, Any, None]]] = {
    "aiohttp, 64 KiB": partial(plain, chunk=2**16),
    "aiohttp, 1 MiB": partial(plain, chunk=MIB),
    "stac-asset": stac_asset,
    "planet": planet,
    "iceye-async": iceye_async,
}


async def poll(way: str, address: str, tiny: str, urls: Sequence[str], folder: Path) -> None:
    """Print how long each poll took while the way fetches, in ms, and how long that took, in s."""
    import aiohttp

    samples: list[float] = []
    async with aiohttp.ClientSession() as http:

        async def look() -> float:
            began = time.perf_counter()
            async with http.get(address) as response:
                await response.read()
            return (time.perf_counter() - began) * 1e3

        await look()
        if way in FETCH:  # once before, so that importing does not count
            (folder / "before").mkdir()
            await FETCH[way]([tiny], folder / "before")
        fetching = asyncio.create_task(FETCH[way](urls, folder) if way in FETCH else asyncio.sleep(IDLE))
        began = time.perf_counter()
        while not fetching.done():
            due = time.perf_counter() + EVERY
            samples.append(await look())
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
        took = time.perf_counter() - began
        await fetching
    print(json.dumps([samples, took]))


async def serve_sandbox(size: int, part: int) -> None:
    """Print the links of a sandbox with a file of each size and a small one; serve them until stdin is closed."""
    from datetime import timedelta

    from iceye_async.sandbox import Sandbox, Scenario

    kinds = {"DC_VESSELS": "big", "DC_AIRCRAFT": "part", "DC_VEHICLES": "tiny"}
    scenario = Scenario(
        decided=0,
        imaged=0,
        fulfilled=0,
        derivatives=dict.fromkeys(kinds, 0.0),
        sizes={"DC_VESSELS": size, "DC_AIRCRAFT": part},
        link_life=86_400.0,
    )
    async with Sandbox(scenario) as sandbox, sandbox.client() as client:
        now = sandbox.clock.utc()
        task = await client.tasks.create(
            contract_id=sandbox.contract_id,
            imaging_mode="SPOTLIGHT",
            point_of_interest=(51.95, 4.05),
            acquisition_window=(now, now + timedelta(days=1)),
            product_types=["GRD"],
            derivative_product_types=list(kinds),
        )
        found = await client.derivatives.get(task.id)
        print(json.dumps({kinds[entry.type]: entry.assets[0].href for entry in found}), flush=True)
        await asyncio.to_thread(sys.stdin.read)


def main(what: str, *words: str) -> None:
    if what == "sandbox":
        asyncio.run(serve_sandbox(*map(int, words)))
    elif what == "poll":
        way, address, tiny, folder, *urls = words
        asyncio.run(poll(way, address, tiny, urls, Path(folder)))
    else:
        folder, *urls = words
        asyncio.run(FETCH[what](urls, Path(folder)))


if __name__ == "__main__":
    main(*sys.argv[1:])
