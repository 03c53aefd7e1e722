"""The one contract of the sandbox. Sources: the API pages "List contracts" and "Get a contract" (company v1).

The page says that a contract also lists the product types of each imaging mode; the JSON name of that is not published,
so it is not here. In which form `start` and `end` are is not published either.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from aiohttp import web

from . import pages
from .refusals import Refused
from .world import World

MODES = (
    "STRIPMAP",
    "SCAN",
    "SCAN_WIDE",
    "SPOTLIGHT",
    "SPOTLIGHT_HIGH_1L",
    "SPOTLIGHT_HIGH_2L",
    "SPOTLIGHT_EXTENDED_AREA",
    "SPOTLIGHT_FINE",
    "SPOTLIGHT_FINE_1L",
    "SPOTLIGHT_FINE_2L",
    "SPOTLIGHT_FINE_3L",
    "SPOTLIGHT_PRECISE_1L",
    "SPOTLIGHT_PRECISE_2L",
    "SPOTLIGHT_PRECISE_3L",
    "SPOTLIGHT_EXTENDED_DWELL",
    "SPOTLIGHT_EXTENDED_DWELL_FINE",
    "SPOTLIGHT_EXTENDED_DWELL_PRECISE",
)
# All documented values, the default first. Which one is the default of a contract is made up, but for the SLA's.
TERMS: Mapping[str, Sequence[str]] = {
    "priority": ("COMMERCIAL", "BACKGROUND"),
    "exclusivity": ("PRIVATE", "PUBLIC"),
    "eula": ("STANDARD", "GOVERNMENT", "MULTI"),
    "sla": ("SLA_8H", "SLA_3H", "SLA_24H"),
}
"""What the contract allows of each thing; the first is what it takes where a task does not say."""


def document(contract_id: str) -> dict[str, Any]:
    """The contract as JSON."""
    return {
        "id": contract_id,
        "name": "Sandbox",
        "start": "2020-01-01T00:00:00Z",
        "end": "2100-01-01T00:00:00Z",
        "imagingModes": {"allowed": list(MODES)},
        **{term: {"allowed": list(allowed), "default": allowed[0]} for term, allowed in TERMS.items()},
    }


class Contracts:
    """The calls on contracts."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def list(self, request: web.Request) -> web.Response:
        found, cursor = pages.page([self._world.contract_id], str, request.query, lambda _: True)
        return web.json_response(pages.body([document(contract_id) for contract_id in found], cursor))

    async def get(self, request: web.Request) -> web.Response:
        if request.match_info["contract"] != self._world.contract_id:
            raise Refused(404, "not_found", "no rows in result set")  # As in the sample of the error-handling page.
        return web.json_response(document(self._world.contract_id))
