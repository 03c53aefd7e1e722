"""What comes of a task: its products and derivatives, each with new links to its files.

Sources: the API pages "Task products" and "Task derivatives".
"""

from collections.abc import Sequence
from datetime import datetime
from functools import partial
from typing import Any

from aiohttp import web

from . import documents
from .links import File, LinkOrigin
from .orders import Order
from .refusals import Refused
from .tasks import Tasks
from .world import World

_SERVED = ("GRD", "GRD-COG")
"""Of other types nothing is served: their asset keys are not published."""


class Products:
    """The calls on products and derivatives. The links are to files of `links`."""

    def __init__(self, world: World, tasks: Tasks, links: LinkOrigin) -> None:
        self._world, self._tasks, self._links = world, tasks, links

    async def list(self, request: web.Request) -> web.Response:
        order = self._tasks.find(request)
        asked = request.match_info.get("type")
        kinds = [kind for kind in self._available(order) if asked in {None, kind}]
        if not kinds:
            # So it was said of version 1 (404, and no empty list), and nothing else of version 2. Whether the service
            # tells a type that was not ordered from one that is not ready is not published.
            raise Refused(404, "not_found", "no products are available yet")
        return web.json_response({"data": [self._product(order, kind) for kind in kinds], "cursor": ""})

    async def derivatives(self, request: web.Request) -> web.Response:
        order = self._tasks.find(request)
        kinds = list(dict.fromkeys(order.body.get("derivativeProductTypes", [])))
        ready = [kind for kind in kinds if self._is_detected(order, kind)]
        if not ready:
            raise Refused(404, "not_found", "no derivative products are available yet")
        links = {kind: self._derivative_link(order, kind) for kind in ready}
        image = order.thing("image")
        data = [documents.derivative(order.thing(kind), kind, image, links.get(kind)) for kind in kinds]
        return web.json_response({"data": data}, status=200 if len(ready) == len(kinds) else 206)

    def _available(self, order: Order) -> Sequence[str]:
        """The types of the products that are there."""
        if self._tasks.state(order)[0] not in {"FULFILLED", "DONE"}:
            return []
        age = order.age(self._world.clock.utc())
        ordered = dict.fromkeys(order.body.get("productTypes", ["GRD"]))
        return [kind for kind in ordered if kind in _SERVED and self._world.scenario.ready(order.opens, kind) <= age]

    def _is_detected(self, order: Order, kind: str) -> bool:
        age = order.age(self._world.clock.utc())
        return order.canceled is None and self._world.scenario.has_assets(kind, age, order.opens)

    def _product(self, order: Order, kind: str) -> dict[str, Any]:
        scenario = self._world.scenario
        taken, ready = order.at(scenario.picture(order.opens)), order.at(scenario.ready(order.opens, kind))
        # The previews, which products have in common, are as old as the first of them.
        previews = order.at(scenario.ready(order.opens))
        links = {
            key: self._link(order, kind, key, key, previews if documents.is_preview(key) else ready)
            for key in documents.ASSETS
        }
        return documents.product(order.thing(kind), order.body, taken, ready, links)

    def _derivative_link(self, order: Order, kind: str) -> str:
        scenario = self._world.scenario
        ready = order.at(scenario.ready(order.opens) + scenario.derivatives[kind])
        return self._link(order, kind, kind, documents.detection_file(kind), ready)

    def _link(self, order: Order, kind: str, key: str, last: str, ready: datetime) -> str:
        """A new link to a file of the product or derivative of this type; its path ends in `last`.

        The products of a task have their previews in common: the path is the same, the signature is each one's own.
        """
        item, scenario = order.thing(kind), self._world.scenario
        taken = order.at(scenario.picture(order.opens))
        file = File(
            key=(order.id, key),
            media=documents.media(key),
            modified=ready.replace(microsecond=0),
            name=documents.told_name(kind, key, order.id, taken) if scenario.names else None,
            size=scenario.sizes.get(key),
            make=partial(documents.file, key, order.id, order.body),
        )
        folder = order.thing("previews") if documents.is_preview(key) else item
        return self._links.link(f"{folder}/{last}", item, file, scenario.link_life)
