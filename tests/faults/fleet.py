"""A small model of a service with many tasks, as time goes by: the answering side of the fixture `wire` for batches.

What it says depends on when it is asked and on nothing else. Its time goes on from one run to the next (`later`), for
the time of each event loop begins anew.
"""

import asyncio
import shutil
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

from iceye_async import BatchReport, Client, IceyeError, PollPolicy, TransportError
from iceye_async.batch import Downloaded, Failed, Finished, Updated
from tests.faults.life import DAY, EPOCH, GONE, HOUR, MINUTE, NEVER, date, instant, said

TASKS = "/api/tasking/v2/tasks"
EVEN = PollPolicy(first=60.0, growth=1.0, ceiling=60.0, spread=0.0)
"""A look every minute, once a task is imaged."""
NO_LIST = said(403, {"code": "forbidden", "message": "not for you"})

__all__ = [
    "DAY",
    "EPOCH",
    "EVEN",
    "GONE",
    "HOUR",
    "MINUTE",
    "NEVER",
    "NO_LIST",
    "TASKS",
    "Fleet",
    "Order",
    "Run",
    "play",
]


class Order:
    """What becomes of one task.

    `kinds` are its derivatives: for each type the moments at which they get assets. `stages` are its statuses, each
    with the time from when on, or one for good; `trouble` is answered to whatever is asked of it, `listed` is the
    status that the list of tasks shows, where that is another.
    """

    def __init__(
        self,
        kinds: Mapping[str, float | Iterable[float]] | None = None,
        *,
        stages: Any = "DONE",
        created: float = -HOUR,
        opens: float = -2 * HOUR,
        closes: float = 3 * DAY,
        plan: float | None = None,
        trouble: Any = None,
        listed: str | None = None,
        **fields: Any,
    ) -> None:
        kinds = {"DC_VESSELS": 0.0} if kinds is None else kinds
        self.kinds = {kind: (at,) if isinstance(at, float | int) else tuple(at) for kind, at in kinds.items()}
        self.stages = [(-NEVER, stages)] if isinstance(stages, str) else list(stages)
        self.created, self.window = created, {"start": instant(opens), "end": instant(closes)}
        self.plan, self.trouble, self.listed, self.fields = plan, trouble, listed, fields

    @property
    def is_unknown(self) -> bool:
        """Whether the service knows of no such task."""
        return isinstance(self.trouble, tuple) and self.trouble[0] == 404

    def status(self, at: float) -> str:
        return [status for since, status in self.stages if since <= at][-1]

    def document(self, name: str, at: float, status: str | None = None) -> dict[str, Any]:
        return {
            "id": name,
            "contractID": "c",
            "pointOfInterest": {"lat": 1.0, "lon": 2.0},
            "imagingMode": "SPOTLIGHT",
            "acquisitionWindow": self.window,
            "status": status or self.status(at),
            "createdAt": instant(self.created),
            "updatedAt": instant(self.created),
            **self.fields,
        }

    def derivatives(self, name: str, at: float) -> Any:
        entries = [
            {
                "id": derivative(name, kind, number),
                "derivativeProductType": kind,
                "assets": [{"type": "geojson", "href": link(derivative(name, kind, number), at)}]
                if at >= ready
                else [],
            }
            for kind, moments in self.kinds.items()
            for number, ready in enumerate(moments)
        ]
        there = [bool(entry["assets"]) for entry in entries]
        return said(200 if all(there) else 206, {"data": entries}) if any(there) else GONE

    def scene(self, at: float) -> Any:
        if self.plan is None or self.status(at) not in {"ACTIVE", "FULFILLED", "DONE"}:
            return GONE
        return said(200, {"imagingTime": {"start": instant(self.plan), "end": instant(self.plan + 10)}, "duration": 10})


def derivative(name: str, kind: str = "DC_VESSELS", number: int = 0) -> str:
    return f"{name}:{kind}:{number}"


def link(name: str, at: float) -> str:
    return f"https://l.example/x?Expires={EPOCH + at + HOUR:.0f}&Signature=c4n4ry-{abs(hash(name))}"


class Fleet:
    """All the tasks. `trouble(asked)` may answer in place of them all, and `swept(asked)` in place of their list."""

    def __init__(self, orders: Mapping[str, Order], *, per_page: int = 50) -> None:
        self.orders = dict(orders)
        self.per_page = per_page
        self.began = 0.0
        self.trouble: Callable[[Any], Any] | None = None
        self.swept: Any = None
        self.requests: list[tuple[float, str]] = []
        """When and what, of all runs, in the time of the service."""

    @property
    def ids(self) -> list[str]:
        return list(self.orders)

    def later(self, seconds: float) -> None:
        """The next run begins so much later than the last one."""
        self.began += seconds

    def answer(self, asked: Any) -> Any:
        at = self.began + asked.at
        self.requests.append((at, unquote(asked.path)))
        said = self.trouble(asked) if self.trouble else None
        answer = self.proper(asked, at) if said is None else said
        if isinstance(answer, IceyeError):
            return answer
        status, headers, body = answer
        return (status, {"Date": date(at), **headers}, body)

    def proper(self, asked: Any, at: float) -> Any:
        split = urlsplit(asked.path)
        if split.path == TASKS:
            if self.swept is not None:
                return self.swept(asked) if callable(self.swept) else self.swept
            return self.page(parse_qs(split.query), at)
        name, _, tail = split.path.removeprefix(f"{TASKS}/").partition("/")
        order = self.orders.get(unquote(name))
        if order is None:
            return GONE
        if order.trouble is not None:
            answer = order.trouble(asked) if callable(order.trouble) else order.trouble
            if answer is not None:
                return answer
        if tail == "derivatives":
            return order.derivatives(unquote(name), at)
        if tail == "scene":
            return order.scene(at)
        return said(200, order.document(unquote(name), at))

    def page(self, query: Any, at: float, hidden: Callable[[str], bool] = lambda name: False) -> Any:
        """A page of the list, the youngest first."""
        since = query.get("createdAfter", [""])[0]
        there = sorted(self.orders.items(), key=lambda item: (-item[1].created, item[0]))
        shown = [
            order.document(name, at, order.listed)
            for name, order in there
            if instant(order.created) > since and not hidden(name) and not order.is_unknown
        ]
        first = int(query.get("cursor", ["0"])[0])
        last = first + self.per_page
        return said(200, {"data": shown[first:last], "cursor": str(last) if last < len(shown) else ""})

    # --- what was asked --------------------------------------------------------------------------------------------

    def asked(self, name: str) -> list[float]:
        """When this task was asked, whatever of it."""
        return [at for at, path in self.requests if path.startswith(f"{TASKS}/{name}/") or path == f"{TASKS}/{name}"]

    def looks(self, name: str) -> list[float]:
        return [at for at, path in self.requests if path == f"{TASKS}/{name}/derivatives"]

    def sweeps(self) -> list[float]:
        return [at for at, path in self.requests if path.partition("?")[0] == TASKS]


class Run(NamedTuple):
    """The events of a run, its error if there was one, its report, and how many seconds it took."""

    events: list[Any]
    error: IceyeError | None
    report: BatchReport
    took: float


def play(wire, fleet, ids=None, types=None, *, each=None, until=None, poll=EVEN, options=None, **given) -> Run:
    """Iterate a batch over the fleet to its end, or until `until(events)` says so, awaiting `each(event)`.

    Then it is left like a program that stops: by closing the client.
    """
    wire.answer = fleet.answer

    async def main(client: Client) -> Run:
        batch, events, error = client.await_batch(ids, types, poll=poll, **given), [], None
        try:
            async for event in batch:
                events.append(event)
                if each is not None:
                    await each(event)
                if until is not None and until(events):
                    break
        except IceyeError as failure:
            error = failure
        return Run(events, error, batch.latest, asyncio.get_running_loop().time())

    run = wire.run(main, **(options or {}))
    fleet.later(run.took)
    return run


# --- what came -----------------------------------------------------------------------------------------------------


def of(kind, events):
    return [event for event in events if isinstance(event, kind)]


def delivered(events) -> Counter[str]:
    """How many events, by their ids, had each derivative fresh."""
    found = {event.id: event for event in of(Updated, events)}
    return Counter(each.id for event in found.values() for each in event.update.fresh)


def ends(events) -> Counter[str]:
    """How many events, by their ids, ended each task."""
    found = {event.id: event for event in of((Finished, Failed), events)}
    return Counter(event.task_id for event in found.values())


def told(event) -> tuple[Any, ...]:
    """An event as it is to be when it comes again."""
    if isinstance(event, Updated):
        return ("updated", event.task_id, frozenset(each.id for each in event.update.fresh))
    if isinstance(event, Downloaded):
        return ("downloaded", event.task_id, frozenset(each.asset for each in event.files))
    if isinstance(event, Failed):
        return ("failed", event.task_id, type(event.error), str(event.error))
    return ("finished", event.task_id, event.outcome.types, frozenset(event.outcome.derivative_ids))


def in_order(events) -> bool:
    """Nothing comes of a task after its end."""
    over = set()
    for event in events:
        if event.task_id in over:
            return False
        if isinstance(event, Finished | Failed):
            over.add(event.task_id)
    return True


def copied(journal: Path, to: Path) -> Path:
    """The journal as a kill at this moment would leave it."""
    to.mkdir(exist_ok=True)
    for name in (journal.name, f"{journal.name}-wal"):
        if (journal.parent / name).exists():
            shutil.copyfile(journal.parent / name, to / name)
    return to / journal.name


def down(asked):
    return TransportError("the connection broke")
