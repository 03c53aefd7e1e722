"""What is asked before a task is created: its price, and whether it can be flown.

Sources: the API pages "Pricing model" and "Check feasibility", of which little is public: the amounts here are made up,
and the one result that is known, FEASIBLE, is the answer to every good request.
"""

import re
from collections.abc import Mapping

from aiohttp import web

from .checks import check, check_mode, check_value, contract_of
from .refusals import Refused, bad, sent
from .world import World

_AMOUNT = 150_000  # Made up; whether the service counts in euros or cents is not published.
_LAT, _LON = "pointOfInterest[lat]", "pointOfInterest[lon]"
_CHOICES = ("imagingMode", "exclusivity", "priority", "sla", "eula")


class Planning:
    """The two calls."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def price(self, request: web.Request) -> web.Response:
        query = request.query
        # All of them are required by the specification.
        missing = [name for name in ("contractID", _LAT, _LON, *_CHOICES) if name not in query]
        if missing:
            raise bad(f"missing {', '.join(missing)}")
        contract = contract_of(query["contractID"], self._world)
        check_value("pointOfInterest", {"lat": _number(query, _LAT), "lon": _number(query, _LON)})
        for name in _CHOICES:
            check_value(name, query[name])
        check_mode(query["imagingMode"], contract)
        return web.json_response({"amount": _AMOUNT, "currency": "EUR"})

    async def feasibility(self, request: web.Request) -> web.Response:
        orders = await sent(request)
        if not isinstance(orders, list):
            raise bad("the body must be an array of task requests")
        for index, order in enumerate(orders):
            self._check(index, order)
        return web.json_response({"feasibility": [{"result": "FEASIBLE"} for _ in orders]})

    def _check(self, index: int, order: object) -> None:
        """Refuse a task request that could not be created, and say which one it is."""
        try:
            check(order, self._world, self._world.clock.utc())
        except Refused as refused:
            raise Refused(refused.status, refused.code, f"request {index}: {refused.details}") from None


def _number(query: Mapping[str, str], name: str) -> float:
    if re.fullmatch(r"-?[0-9]+([.][0-9]+)?([eE][+-]?[0-9]+)?", query[name]) is None:
        raise bad(f"{name} must be a number")
    return float(query[name])
