"""The calls on tasks themselves.

Sources: the API pages "Create a task", "Get a task", "List tasks", "Cancel a task" and "Get task scene".
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from attrs import evolve

from . import documents, pages
from .checks import check, check_value
from .orders import Order, Story
from .refusals import Refused, bad, sent
from .world import World


class Tasks:
    """All tasks there are, in the order of their creation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._orders: dict[str, Order] = {}

    def find(self, request: web.Request) -> Story:
        """The task that is asked for."""
        order = self._orders.get(request.match_info["task"])
        if order is None:
            raise Refused(404, "not_found", "task not found")
        return self._story(order)

    def reference(self, request: web.Request) -> str | None:
        """That of the task that is asked for, if there is such a task."""
        order = self._orders.get(request.match_info.get("task", ""))
        return None if order is None else order.reference

    def _story(self, order: Order) -> Story:
        return Story(order, self._world.scenario.course(order.reference))

    async def create(self, request: web.Request) -> web.Response:
        body, now = await sent(request), self._world.clock.utc()
        contract = check(body, self._world, now)
        opens = (documents.moment(body["acquisitionWindow"]["start"]) - now).total_seconds()
        kinds = contract.ordered(body)
        late = [kind for kind in kinds if not contract.is_sla(kind)]
        order = Order(self._world.chance.id(), body, kinds, late, now, opens)
        self._orders[order.id] = order
        return web.json_response(self._document(self._story(order), now), status=201)

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(self._document(self.find(request), self._world.clock.utc()))

    async def list(self, request: web.Request) -> web.Response:
        # In which order the service lists tasks is not published.
        asked = _Filters(request.query)
        found, cursor = pages.page(list(self._orders.values()), lambda order: order.id, request.query, asked.keep)
        now = self._world.clock.utc()
        data = [self._document(self._story(order), now) for order in found]
        for entry in data:
            entry.pop("notifications", None)
            entry.pop("deliveries", None)
        return web.json_response(pages.body(data, cursor))

    async def cancel(self, request: web.Request) -> web.Response:
        body, story, now = await sent(request), self.find(request), self._world.clock.utc()
        if body != {"status": "CANCELED"}:
            raise bad('the body must be {"status": "CANCELED"}')
        status, _ = story.state(now)
        if status not in {"RECEIVED", "ACTIVE"}:
            # With which status and code the service refuses this is not published. 400 is one that its specification
            # has for every call; 409 is not.
            raise bad(f"a task that is {status} cannot be canceled")
        order = self._orders[story.order.id] = evolve(story.order, canceled=now)
        return web.json_response(self._document(self._story(order), now))

    async def scene(self, request: web.Request) -> web.Response:
        story = self.find(request)
        if not story.course.scene or story.state(self._world.clock.utc())[0] not in {"ACTIVE", "FULFILLED", "DONE"}:
            # That it is a 404 is presumed: the page has "an error".
            raise Refused(404, "not_found", "no scene is available")
        return web.json_response(documents.scene(story.order.body, story.picture()))

    def _document(self, story: Story, now: datetime) -> dict[str, Any]:
        order, (status, since) = story.order, story.state(now)
        times = {"createdAt": order.created, "updatedAt": since}
        if status in {"FULFILLED", "DONE"}:
            times["fulfilledAt"] = story.ready()
        return documents.task(order.id, order.body, status, times, echo=story.course.echo)


class _Filters:
    """Which tasks a list is asked for. Whether the times themselves belong is not published: here they do not."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._contract = query.get("contractID")
        if self._contract is not None:
            check_value("contractID", self._contract)
        self._after = _time(query, "createdAfter")
        self._before = _time(query, "createdBefore")

    def keep(self, order: Order) -> bool:
        return (
            self._contract in {None, order.body["contractID"]}
            and (self._after is None or order.created > self._after)
            and (self._before is None or order.created < self._before)
        )


def _time(query: Mapping[str, str], name: str) -> datetime | None:
    if name not in query:
        return None
    try:
        return documents.moment(query[name])
    except ValueError:
        raise bad(f"{name} must be an RFC 3339 time") from None
