"""A desk at which a sandbox is asked over plain HTTP and not through the client, in a time that the test moves."""

import asyncio
import contextlib
import socket
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple, TypeVar
from urllib.parse import urlencode, urlsplit

import aiohttp

from iceye_async import Client, Task
from iceye_async.sandbox import Sandbox, Scenario

TASKS = "/api/tasking/v2/tasks"
PRICE = "/api/tasking/v2/price"
FEASIBILITY = "/api/tasking/v2/feasibility"
CONTRACTS = "/api/company/v1/contracts"
NOBODY = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
"""An id that is nothing's."""
AT_ONCE = {"decided": 0.0, "imaged": 0.0, "fulfilled": 0.0, "done": 0.0}
"""All products are there as soon as a task is created."""
BOTH = {"productTypes": ["GRD", "GRD-COG"], "derivativeProductTypes": ["DC_VESSELS", "DC_AIRCRAFT"]}
"""An order for two types of either kind."""


D = TypeVar("D", bound="Desk")


class HandClock:
    """The time of a sandbox that stands still, moved by hand, backwards too; it begins with a year."""

    def __init__(self, clock: Any) -> None:
        self._clock = clock
        clock._epoch = datetime(2026, 1, 1, tzinfo=UTC)

    @property
    def time(self) -> float:
        return self._clock.now()

    @time.setter
    def time(self, seconds: float) -> None:
        self._clock._time = float(seconds)

    @property
    def epoch(self) -> datetime:
        return self._clock._epoch

    def utc(self) -> datetime:
        return self._clock.utc()


class Got(NamedTuple):
    """A whole answer."""

    status: int
    headers: Any
    body: bytes


class Desk:
    """A sandbox and a signed-in HTTP session to ask it with. `ordered` is in each order besides the required fields."""

    def __init__(self, sandbox: Sandbox, http: aiohttp.ClientSession, ordered: dict[str, Any] | None = None) -> None:
        self.sandbox, self.http = sandbox, http
        self.clock: Any = sandbox.clock
        self.link_faults, self.heard = sandbox.link_faults, sandbox.link_requests
        self.ordered = ordered or {}
        self.headers: dict[str, str] = {}

    # --- asking ------------------------------------------------------------------------------------------------------

    async def sign_in(self) -> Got:
        """Ask for a token, and send it from now on."""
        auth = {"Authorization": aiohttp.encode_basic_auth(self.sandbox.client_id, self.sandbox.client_secret)}
        form = {"grant_type": "client_credentials"}
        async with self.http.post(self.sandbox.token_url, headers=auth, data=form) as answer:
            got = Got(answer.status, answer.headers, await answer.read())
            if got.status == 200:
                self.headers = {"Authorization": f"Bearer {(await answer.json())['access_token']}"}
            return got

    async def say(self, method: str, path: str, headers: Any = None, **options: Any) -> Got:
        """What the API answers, as it is."""
        url, sent = f"{self.sandbox.base_url}{path}", self.headers | (headers or {})
        async with self.http.request(method, url, headers=sent, allow_redirects=False, **options) as answer:
            return Got(answer.status, answer.headers, await answer.read())

    async def ask(self, method: str, path: str, headers: Any = None, **options: Any) -> tuple[int, Any]:
        """The status and the JSON of an answer."""
        url, sent = f"{self.sandbox.base_url}{path}", self.headers | (headers or {})
        async with self.http.request(method, url, headers=sent, **options) as answer:
            return answer.status, await answer.json(content_type=None)

    async def get(self, path: str, headers: Any = None, **query: Any) -> tuple[int, Any]:
        return await self.ask("GET", f"{path}?{urlencode(query)}" if query else path, headers)

    async def fetch(self, link: str, method: str = "GET", **headers: str) -> Got:
        """What is behind a link."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.http.request(method, link, headers=named, allow_redirects=False) as answer:
            return Got(answer.status, answer.headers, await answer.read())

    # --- tasks -------------------------------------------------------------------------------------------------------

    def order(self, **changes: Any) -> dict[str, Any]:
        """A task request: the required fields, what is always ordered, and these; one that is None is left out."""
        opens = self.clock.utc()
        order = {
            "contractID": self.sandbox.contract_id,
            "imagingMode": "SPOTLIGHT",
            "pointOfInterest": {"lat": 60.2, "lon": 24.9},
            "acquisitionWindow": {"start": moment(opens), "end": moment(opens + timedelta(days=1))},
        }
        return {key: value for key, value in (order | self.ordered | changes).items() if value is not None}

    async def create(self, **changes: Any) -> tuple[int, Any]:
        return await self.ask("POST", TASKS, json=self.order(**changes))

    async def created(self, **changes: Any) -> str:
        """The path of a new task."""
        status, task = await self.create(**changes)
        assert status == 201, task
        return f"{TASKS}/{task['id']}"

    async def cancel(self, path: str) -> tuple[int, Any]:
        return await self.ask("PATCH", path, json={"status": "CANCELED"})

    async def products(self, path: str) -> list[dict[str, str]]:
        """The links of each product, by asset key."""
        _, listing = await self.get(f"{path}/products")
        return [{key: asset["href"] for key, asset in item["assets"].items()} for item in listing["data"]]

    async def links(self) -> dict[str, str]:
        """The links of a new task: of its first product by asset key, of its derivatives by type."""
        path = await self.created()
        products = await self.products(path)
        _, listing = await self.get(f"{path}/derivatives")
        ready = [item for item in listing.get("data", []) if item["assets"]]
        return products[0] | {item["derivativeProductType"]: item["assets"][0]["href"] for item in ready}


async def ordered(sandbox: Sandbox, client: Client, opens: float = 0.0, **changes: Any) -> Task:
    """A new task, by the client, for which vessels were ordered; its window opens so many seconds from now."""
    start = sandbox.clock.utc() + timedelta(seconds=opens)
    asked = {
        "contract_id": sandbox.contract_id,
        "imaging_mode": "SPOTLIGHT",
        "point_of_interest": (60.2, 24.9),
        "acquisition_window": (start, start + timedelta(hours=24)),
        "product_types": ["GRD"],
        "derivative_product_types": ["DC_VESSELS"],
    }
    return await client.tasks.create(**(asked | changes))


def moment(time: datetime) -> str:
    return time.isoformat().replace("+00:00", "Z")


@contextlib.asynccontextmanager
async def open_desk(
    scenario: Scenario, ordered: Any = None, *, speed: float | None = None, kind: type[D] = Desk
) -> AsyncIterator[D]:
    """A desk at such a sandbox, on a hand-moved clock unless there is a `speed`."""
    sandbox = Sandbox(scenario, speed=0 if speed is None else speed)
    async with sandbox, aiohttp.ClientSession() as http:
        desk = kind(sandbox, http, ordered)
        if speed is None:
            desk.clock = HandClock(sandbox.clock)
        await desk.sign_in()
        yield desk


class Line:
    """A connection of its own, on which everything is seen."""

    def __init__(self, link: str) -> None:
        self._link = urlsplit(link)
        self._loop = asyncio.get_running_loop()
        self.socket = socket.socket()
        self.socket.setblocking(False)
        self._received = b""

    async def connect(self) -> None:
        await self._loop.sock_connect(self.socket, (self._link.hostname, self._link.port))

    async def say(self, data: bytes) -> None:
        await self._loop.sock_sendall(self.socket, data)

    async def ask(self, *, version: str = "1.1", method: str = "GET", **headers: str) -> None:
        await self.connect()
        target = f"{self._link.path}?{self._link.query}"
        lines = [f"{method} {target} HTTP/{version}", f"Host: {self._link.hostname}:{self._link.port}"]
        lines += [f"{name}: {value}" for name, value in headers.items()]
        await self.say("\r\n".join([*lines, "", ""]).encode())

    async def receive(self, count: int) -> bytes:
        """The body, as soon as it is so many bytes."""
        while b"\r\n\r\n" not in self._received or len(self._parts[1]) < count:
            self._received += await self._loop.sock_recv(self.socket, 65_536)
        return self._parts[1]

    async def receive_all(self) -> tuple[str, bytes, str]:
        """The head, the body, and how the connection ended."""
        end = "closed"
        try:
            while piece := await self._loop.sock_recv(self.socket, 1_000_000):
                self._received += piece
        except ConnectionResetError:
            end = "reset"
        head, body = self._parts
        return f"{head.decode().lower()}\r\n", body, end

    @property
    def _parts(self) -> tuple[bytes, bytes]:
        head, _, body = self._received.partition(b"\r\n\r\n")
        return head, body

    async def is_silent(self) -> bool:
        """Whether nothing comes, not even an end, in a while that is long for this machine and short for us."""
        reading = asyncio.ensure_future(self._loop.sock_recv(self.socket, 1))
        await turns(100)
        reading.cancel()
        return not reading.done() or reading.cancelled()


async def turns(count: int) -> None:
    for _ in range(count):
        await asyncio.sleep(0)
