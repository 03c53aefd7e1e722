"""A small model of a service with one task, `t1`, as time goes by. All its times are virtual seconds.

It is the answering side of the fixture `wire`; what it says depends on when it is asked and on nothing else, so a wait
that asks more often, or less, meets the same task.
"""

import asyncio
import json
import math
from collections.abc import Awaitable, Callable, Iterable
from datetime import UTC, datetime
from email.utils import format_datetime
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from iceye_async import Client, IceyeError, PollPolicy, ProductUpdate, Task, TransportError

TASK = "/api/tasking/v2/tasks/t1"
SCENE, PRODUCTS, DERIVATIVES = f"{TASK}/scene", f"{TASK}/products", f"{TASK}/derivatives"
EPOCH = 1_800_000_000.0
MINUTE, HOUR, DAY = 60.0, 3600.0, 86_400.0
NEVER = math.inf
EVEN = PollPolicy(first=60.0, growth=1.0, ceiling=60.0, spread=0.0)
"""A look every minute, once the task is imaged."""


def instant(seconds):
    return datetime.fromtimestamp(EPOCH + seconds, UTC).isoformat().replace("+00:00", "Z")


def date(seconds):
    return format_datetime(datetime.fromtimestamp(EPOCH + seconds, UTC), usegmt=True)


def said(status, document, **headers):
    return (status, headers, json.dumps(document).encode())


GONE = said(404, {"code": "not_found", "message": "no rows in result set"})
EMPTY = said(200, {"data": [], "cursor": ""})


def reset(asked):
    return TransportError("the connection broke")


class Item(NamedTuple):
    """A product, or a derivative. It is on the list from `listed` until `gone`, and has assets from `ready` on."""

    name: str
    kind: str = "GRD"
    ready: float = 0.0
    listed: float = -NEVER
    gone: float = NEVER
    says: str | None = None
    """The type by its own words, where they differ from the list that it is on."""
    key: str = "data"

    def there(self, at):
        return self.listed <= at < self.gone

    def link(self, at):
        """Another one at each look, as the service signs them."""
        return f"https://l.example/{self.name}-{self.key}?Expires={EPOCH + at + HOUR:.0f}&Signature=c4n4ry-signature"

    def product(self, at):
        assets = {self.key: {"href": self.link(at)}} if at >= self.ready else {}
        return {"id": self.name, "properties": {"sar:product_type": self.says or self.kind}, "assets": assets}

    def derivative(self, at):
        assets = [{"type": "geojson", "href": self.link(at)}] if at >= self.ready else []
        return {"id": self.name, "derivativeProductType": self.kind, "assets": assets}


class Unreadable(NamedTuple):
    """An entry that breaks the format, as long as it is on the list."""

    kind: str = "GRD"
    until: float = NEVER

    def there(self, at):
        return at < self.until

    def product(self, at):
        return {"id": 7, "properties": {"sar:product_type": self.kind}, "assets": "none"}


class Trouble(NamedTuple):
    """What is said instead, from `start` until `end`, to requests whose path begins or ends so."""

    start: float
    end: float
    answer: Any
    path: str = ""

    def answers(self, asked):
        return self.start <= asked.at < self.end and (
            asked.path.startswith(self.path) if self.path.startswith("/api") else asked.path.endswith(self.path)
        )


class Life:
    """What becomes of the task.

    `stages` are its statuses, each with the time from when on, or one status for good. `plans` are the scenes,
    each with the time from when on: the start of the imaging, or an answer as it is. The acquisition window is
    from `opens` to `closes`. `nothing` is how a list of products is when it is empty.
    """

    def __init__(
        self,
        stages: str | Iterable[tuple[float, str]] = "DONE",
        *,
        opens: float = -2 * HOUR,
        closes: float = 3 * DAY,
        plans: Iterable[tuple[float, Any]] = (),
        products: Iterable[Any] = (),
        derivatives: Iterable[Item] = (),
        troubles: Iterable[Trouble] = (),
        per_page: int = 100,
        nothing: Any = GONE,
        **fields: Any,
    ) -> None:
        self.stages = [(0.0, stages)] if isinstance(stages, str) else list(stages)
        self.window = {"start": instant(opens), "end": instant(closes)}
        self.plans, self.products, self.derivatives = list(plans), list(products), list(derivatives)
        self.troubles, self.per_page, self.nothing, self.fields = list(troubles), per_page, nothing, fields

    def status(self, at):
        return [status for since, status in self.stages if since <= at][-1]

    def answer(self, asked):
        for trouble in self.troubles:
            if trouble.answers(asked):
                answer = trouble.answer(asked) if callable(trouble.answer) else trouble.answer
                break
        else:
            answer = self.proper(asked)
        if isinstance(answer, IceyeError):
            return answer
        status, headers, body = answer
        return (status, {"Date": date(asked.at), **headers}, body)

    def proper(self, asked):
        split = urlsplit(asked.path)
        path, query = unquote(split.path), parse_qs(split.query)
        if asked.method != "GET":
            return (405, {}, b"")
        if path == TASK:
            return self.task(asked.at)
        if path == SCENE:
            return self.scene(asked.at)
        if path == PRODUCTS or path.startswith(f"{PRODUCTS}/"):
            kind = path.removeprefix(PRODUCTS).removeprefix("/")
            there = [item for item in self.products if kind in ("", item.kind)]
            return self.page([item.product(asked.at) for item in there if item.there(asked.at)], query)
        if path == DERIVATIVES:
            return self.all_derivatives(asked.at)
        return (418, {}, b"")

    def task(self, at):
        since = max(start for start, _ in self.stages if start <= at)
        document = {
            "id": "t1",
            "contractID": "c",
            "pointOfInterest": {"lat": 1.0, "lon": 2.0},
            "imagingMode": "SPOTLIGHT",
            "acquisitionWindow": self.window,
            "status": self.status(at),
            "createdAt": instant(-HOUR),
            "updatedAt": instant(since),
            **self.fields,
        }
        return said(200, document)

    def scene(self, at):
        known = [plan for since, plan in self.plans if since <= at]
        if not known or self.status(at) not in {"ACTIVE", "FULFILLED", "DONE"}:
            return GONE
        plan = known[-1]
        if not isinstance(plan, float | int):
            return plan(at) if callable(plan) else plan
        return said(200, {"imagingTime": {"start": instant(plan), "end": instant(plan + 10)}, "duration": 10})

    def page(self, documents, query):
        first = int(query.get("cursor", ["0"])[0])
        last = first + self.per_page
        if not documents:
            return self.nothing
        return said(200, {"data": documents[first:last], "cursor": str(last) if last < len(documents) else ""})

    def all_derivatives(self, at):
        there = [item for item in self.derivatives if item.there(at)]
        if not any(item.ready <= at for item in there):
            return GONE
        status = 200 if all(item.ready <= at for item in there) else 206
        return said(status, {"data": [item.derivative(at) for item in there]})


# --- what a wait makes of it ---------------------------------------------------------------------------------------


class Seen(NamedTuple):
    """The steps of a wait, the error that ended it if one did, what it had then, and when that was."""

    steps: list[Any]
    error: IceyeError | None
    latest: Any
    ended: float


async def drained(pending, steps):
    """Notes each step as it comes, and gives the error that ended them, if one did."""
    try:
        async for step in pending:
            steps.append(step)
    except IceyeError as error:
        return error


def follow(wire, life, make: Callable[[Client], Any], **options) -> Seen:
    """Iterates what `make(client)` gives, to its end."""
    wire.answer = life.answer

    async def main(client):
        pending, steps = make(client), []
        error = await drained(pending, steps)
        return Seen(steps, error, pending.latest, now())

    return wire.run(main, **options)


def outcome(wire, life, make: Callable[[Client], Awaitable[Any]], **options):
    """What `make(client)` gives when it is awaited: the value, or the error."""
    wire.answer = life.answer

    async def main(client):
        try:
            return await make(client)
        except IceyeError as error:
            return error

    return wire.run(main, **options)


def now():
    return asyncio.get_running_loop().time()


def alike(one, other):
    """The same statuses or products, but for links, which are others at each look, and for what was fresh in it."""
    return one == other or told(one) == told(other)


def told(step):
    if step is None or isinstance(step, Task):
        return step
    listed = step.products if isinstance(step, ProductUpdate) else step.derivatives
    return [(each.id, bool(each.assets)) for each in listed], step.ready, step.missing, step.complete


def requests(wire, path, *, since=-NEVER, until=NEVER):
    """The requests for exactly this path, whatever their query, in that time."""
    return [asked for asked in wire.asked if asked.path.partition("?")[0] == path and since <= asked.at < until]


def lists(wire):
    """The requests for lists of products."""
    return [asked for asked in wire.asked if asked.path.startswith(PRODUCTS)]


def between(wire, start, end):
    return [asked for asked in wire.asked if start <= asked.at < end]
