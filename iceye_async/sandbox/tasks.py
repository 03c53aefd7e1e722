"""The calls on tasks themselves.

Sources: the API pages "Create a task", "Get a task", "List tasks", "Cancel a task" and "Get task scene".
"""

import uuid
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from aiohttp import web
from attrs import evolve

from . import documents, pages
from .checks import check
from .orders import Order, state
from .refusals import Refused, bad, sent
from .world import World


class Tasks:
    """All tasks there are, in the order of their creation."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._orders: dict[str, Order] = {}

    def find(self, request: web.Request) -> Order:
        """The task that is asked for."""
        order = self._orders.get(request.match_info["task"])
        if order is None:
            raise Refused(404, "not_found", "task not found")
        return order

    def state(self, order: Order) -> tuple[str, datetime]:
        """The status of a task, and since when it has had it."""
        return state(order, self._world.scenario, self._world.clock.utc())

    async def create(self, request: web.Request) -> web.Response:
        body, now = await sent(request), self._world.clock.utc()
        check(body, self._world.contract_id, now, self._world.scenario.derivatives)
        opens = documents.moment(body["acquisitionWindow"]["start"])
        order = Order(str(uuid.uuid4()), body, now, (opens - now).total_seconds())
        self._orders[order.id] = order
        return web.json_response(self._document(order, *state(order, self._world.scenario, now)), status=201)

    async def get(self, request: web.Request) -> web.Response:
        order = self.find(request)
        return web.json_response(self._document(order, *self.state(order)))

    async def list(self, request: web.Request) -> web.Response:
        # In which order the service lists tasks is not published.
        asked = _Filters(request.query)
        found, cursor = pages.page(list(self._orders.values()), lambda order: order.id, request.query, asked.keep)
        data = [self._document(order, *self.state(order)) for order in found]
        for entry in data:
            entry.pop("notifications", None)
            entry.pop("deliveries", None)
        return web.json_response(pages.body(data, cursor))

    async def cancel(self, request: web.Request) -> web.Response:
        body, order = await sent(request), self.find(request)
        if body != {"status": "CANCELED"}:
            raise bad('the body must be {"status": "CANCELED"}')
        status, _ = self.state(order)
        if status not in {"RECEIVED", "ACTIVE"}:
            # With which status and code the service refuses this is not published. 400 is one that its specification
            # has for every call; 409 is not.
            raise bad(f"a task that is {status} cannot be canceled")
        order = self._orders[order.id] = evolve(order, canceled=self._world.clock.utc())
        return web.json_response(self._document(order, *self.state(order)))

    async def scene(self, request: web.Request) -> web.Response:
        order = self.find(request)
        scenario = self._world.scenario
        if not scenario.scene or self.state(order)[0] not in {"ACTIVE", "FULFILLED", "DONE"}:
            # That it is a 404 is presumed: the page has "an error".
            raise Refused(404, "not_found", "no scene is available")
        return web.json_response(documents.scene(order.body, order.at(scenario.picture(order.opens))))

    def _document(self, order: Order, status: str, since: datetime) -> dict[str, Any]:
        scenario = self._world.scenario
        times = {"createdAt": order.created, "updatedAt": since}
        if status in {"FULFILLED", "DONE"}:
            times["fulfilledAt"] = order.at(scenario.ready(order.opens))
        return documents.task(order.id, order.body, status, times, echo=scenario.echo)


class _Filters:
    """Which tasks a list is asked for. Whether the times themselves belong is not published: here they do not."""

    def __init__(self, query: Mapping[str, str]) -> None:
        self._contract = query.get("contractID")
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
