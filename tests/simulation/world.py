"""The sandbox without sockets: its own handlers, called with as much of a request as they look at, in bad weather.

It stands in for `exchange` and for the connections to link hosts. Whatever a client does that none ever may is among
its complaints.
"""

import asyncio
import functools
import hashlib
import json
import math
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import timedelta
from email.utils import format_datetime
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from iceye_async import Client, ClientCredentials, TransportError
from iceye_async.downloads.http import Headers, Links
from iceye_async.protocol.replies import Reply
from iceye_async.sandbox import LinkFault, Sandbox, Scenario, api, pages
from iceye_async.sandbox.clock import SEEDED_EPOCH
from iceye_async.sandbox.links import LinkRequest
from iceye_async.sandbox.orders import Story
from iceye_async.sandbox.tasks import Tasks
from tests.conftest import CANARY
from tests.simulation.weather import TOKEN, Said, Weather, fate_of_file

API, LINKS = "https://api.example", "https://links.example"
TASKS = "/api/tasking/v2/tasks"


@dataclass
class Asked:
    """As much of aiohttp's request as the sandbox looks at."""

    method: str
    target: str
    headers: Mapping[str, str]
    body: bytes = b""
    match_info: Mapping[str, str] = field(default_factory=dict)
    transport: None = None

    def __post_init__(self) -> None:
        parts = urlsplit(self.target)
        self.path, self.query = unquote(parts.path), dict(parse_qsl(parts.query))

    @property
    def content_type(self) -> str:
        return self.headers.get("Content-Type", "")

    @property
    def rel_url(self) -> URL:
        return URL(self.target, encoded=True)

    async def read(self) -> bytes:
        return self.body


class World:
    """One API, its token endpoint and its link host, in the time of the running event loop."""

    def __init__(
        self,
        scenario: Scenario,
        weather: Weather,
        course: Callable[[str | None], Scenario] | None = None,
        *,
        renews: bool = False,
    ) -> None:
        self._renews = renews
        self._course = scenario.course if course is None else course
        self.sandbox = Sandbox(scenario)
        self.sandbox.base_url, self.sandbox._links.url = API, LINKS
        self.sandbox.client_secret = f"{CANARY}-secret"
        self.sandbox.clock.now()
        self.sandbox.clock._epoch = SEEDED_EPOCH
        self._api = api.Api(self.sandbox, self.sandbox._links)
        minted = self._api._minted.secret
        self._api._minted.secret = lambda length: CANARY + minted(length)
        self._routes = {(route.method, _shape(route.path)): route for route in self._api._routes()}
        self.weather = weather
        self.asked: Counter[str] = Counter()
        """How many requests there were, of each kind: "GET tasks/{}/derivatives"."""
        self.forbidden: dict[str, str] = {}
        """Tasks about which nobody may ask any more, and why."""
        self.files: Counter[str] = Counter()
        """How often each file was asked for."""
        self.complaints: list[str] = []
        self._not_before: dict[tuple[Any, str], float] = {}

    @property
    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def client(self, **options: Any) -> Client:
        """A client of it, in the time of the event loop."""
        credentials = ClientCredentials(self.sandbox.token_url, self.sandbox.client_id, self.sandbox.client_secret)
        return Client(API, **{"auth": credentials, **options})

    async def create(self, **order: Any) -> str:
        """The id of a new task."""
        self._api._tokens[token := f"{CANARY}-ours"] = math.inf
        body = json.dumps({"contractID": self.sandbox.contract_id, **order}).encode()
        said = await self._ask(Asked("POST", TASKS, {"Authorization": f"Bearer {token}"}, body))
        assert said.status == 201, said
        return str(json.loads(said.body)["id"])

    def story(self, task_id: str) -> Story:
        """The task as the sandbox knows it."""
        return self._api._tasks._story(self._api._tasks._orders[task_id])

    def contents(self) -> dict[str, str]:
        """The SHA-256 of the file of each derivative that there are links to."""
        host = self.sandbox._links
        files = {path.partition("/")[0]: host._version(file, LinkFault()) for path, file in host._files.items()}
        return {item: hashlib.sha256(content.head).hexdigest() for item, content in files.items()}

    def revoke(self) -> None:
        """No token holds any more."""
        self._api._tokens.clear()

    def use(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Let all clients be of this world."""
        monkeypatch.setattr("iceye_async.session.exchange", self._exchange)
        monkeypatch.setattr("iceye_async.auth.exchange", self._exchange)
        monkeypatch.setattr(Links, "_ask", functools.partialmethod(_ask_in_memory, self))
        # The same, without being worked out and checked anew at each request.
        monkeypatch.setattr(Tasks, "_story", lambda tasks, order: Story(order, self._course(order.reference)))
        monkeypatch.setattr(pages, "_cursor", functools.cache(pages._cursor))

    # --- the API -----------------------------------------------------------------------------------------------------

    async def _exchange(
        self,
        http: Any,
        method: str,
        url: URL,
        *,
        headers: Any,
        watch: Any,
        data: Any = None,
        witness: Any = None,
        **_: Any,
    ) -> Reply:
        asked = Asked(method, url.raw_path_qs, headers, data or b"")
        began = self.now
        self._judge(http, asked, url)
        try:
            with watch.bound():
                said = await self.weather.answer(self, asked)
        except TimeoutError:
            raise TransportError(f"{method} {url.path}: no whole reply within {watch.seconds:g} s") from None
        finally:
            if witness is not None:
                witness(method, url, self.now - began, 0)
        self._hear(http, asked, said)
        told = CIMultiDict({"Date": self.date(), **said.headers})
        return Reply(said.status, CIMultiDictProxy(told), said.body, self.sandbox.clock.utc().timestamp())

    def date(self, later: float = 0.0) -> str:
        """As in headers."""
        return format_datetime(self.sandbox.clock.utc() + timedelta(seconds=later), usegmt=True)

    async def proper(self, asked: Asked) -> Said:
        """What the sandbox answers."""
        self.sandbox.requests.clear()
        return await self._ask(asked)

    async def _ask(self, asked: Asked) -> Said:
        route, asked.match_info = self._found(asked)
        response = await api._in_the_services_words(asked, route.handler)
        return Said(response.status, response.headers, bytes(response.body or b""))

    def _found(self, asked: Asked) -> tuple[Any, dict[str, str]]:
        parts = urlsplit(asked.target).path.split("/")
        task = {"task": unquote(parts[5])} if asked.path.startswith(f"{TASKS}/") else {}
        return self._routes[asked.method, kind(asked)], task

    # --- what a client may and may not -------------------------------------------------------------------------------

    def _judge(self, http: Any, asked: Asked, url: URL) -> None:
        self.asked[kind(asked)] += 1
        scheme = asked.headers.get("Authorization", "").partition(" ")[0]
        if str(url.origin()) != API or scheme != ("Basic" if asked.path == TOKEN else "Bearer"):
            self.complaints.append(f"{asked.method} {url.origin()}{asked.path} with {scheme or 'no'} credentials")
        if (name := task_of(asked)) is not None and name in self.forbidden:
            self.complaints.append(f"{asked.method} {asked.path} at {self.now:.1f}: {self.forbidden[name]}")
        for place in self._places(asked):
            if self.now < self._not_before.get((id(http), place), 0.0):
                until = self._not_before[id(http), place]
                self.complaints.append(f"{asked.path} at {self.now:.3f} before Retry-After of {place}, {until:.3f}")

    def _places(self, asked: Asked) -> set[str]:
        """Whose Retry-After holds for a request: that of the API, and of what it is about."""
        return {TOKEN} if asked.path == TOKEN else {"the API", task_of(asked) or asked.path}

    def _hear(self, http: Any, asked: Asked, said: Said) -> None:
        # What is said of one resource binds who asked: not the download that renews a link, where there are any.
        if said.pause and (said.status == 429 or not (asked.path == TOKEN or self._renews)):
            place = TOKEN if asked.path == TOKEN else "the API" if said.status == 429 else task_of(asked) or asked.path
            key = (id(http), place)
            self._not_before[key] = max(self._not_before.get(key, 0.0), self.now + said.pause)


def kind(asked: Asked) -> str:
    """The path of a request without what is of one task in it."""
    return _shape(urlsplit(asked.target).path)


def _shape(path: str) -> str:
    parts = path.split("/")
    return "/".join("{}" if number in {5, 7} else part for number, part in enumerate(parts))


def task_of(asked: Asked) -> str | None:
    """The id of the task that a request is about."""
    parts = urlsplit(asked.target).path.split("/")
    return unquote(parts[5]) if len(parts) > 5 else None


# --- the link host ---------------------------------------------------------------------------------------------------


class Given:
    """An answer of the link host, read by a thread."""

    decrypts = False

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes, breaks_at: int | None = None) -> None:
        self.status, self.headers = status, Headers(headers.items())
        self._left, self._until = body, breaks_at

    def readinto(self, view: memoryview) -> int:
        if self._until == 0:
            raise TransportError("the file on its way: the connection broke")
        piece = self._left[: len(view) if self._until is None else min(len(view), self._until)]
        view[: len(piece)] = piece
        self._left = self._left[len(piece) :]
        self._until = None if self._until is None else self._until - len(piece)
        return len(piece)

    def interrupt(self) -> None: ...

    def close(self) -> None: ...


def _ask_in_memory(
    links: Links, world: World, href: str, url: URL, headers: Mapping[str, str], options: object, crew: object
) -> Given:
    asked = Asked("GET", url.raw_path_qs, CIMultiDict(headers))
    if str(url.origin()) != LINKS or {"Authorization", "Cookie"} & set(asked.headers):
        world.complaints.append(f"{url.origin()}{asked.path} was asked with {sorted(asked.headers)}")
    host = world.sandbox._links
    world.files[asked.path] += 1
    fate = fate_of_file(world.weather.seed, asked.path, world.files[asked.path]) if world.weather.rate else None
    if fate == "lost":
        raise TransportError("the file on its way: no connection", sent=False)
    if fate in {"expired", "busy"}:
        return Given(403 if fate == "expired" else 503, {"Content-Type": "application/xml"}, b"<Error/>")
    heard = LinkRequest(
        method="GET", path=asked.path, range=asked.headers.get("Range"), if_range=asked.headers.get("If-Range")
    )
    _, reply = host._answer(asked, heard)
    first, last = reply.span
    body = bytes(reply.content.piece(first, last)) if last > first else b""
    assert len(body) == last - first
    told = {**reply.headers, "Content-Length": str(len(body))}
    return Given(reply.status, told, body, len(body) // 2 if fate == "cut" else None)
