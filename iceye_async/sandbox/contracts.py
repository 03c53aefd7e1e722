"""The calls on contracts. Sources: the API pages "List contracts" and "Get a contract" (company v1).

The page says that a contract also lists the product types of each imaging mode; the JSON name of that is not published,
so it is not here. In which form `start` and `end` are is not published either.
"""

from typing import Any

from aiohttp import web

from . import pages
from .refusals import Refused
from .terms import TERMS, Contract
from .world import World


def document(contract_id: str, contract: Contract) -> dict[str, Any]:
    """A contract as JSON."""
    return {
        "id": contract_id,
        "name": contract.name,
        "start": "2020-01-01T00:00:00Z",
        "end": "2100-01-01T00:00:00Z",
        "imagingModes": {"allowed": contract.allowed_modes()},
        **{term: {"allowed": list(allowed), "default": allowed[0]} for term, allowed in TERMS.items()},
    }


class Contracts:
    """The calls on contracts."""

    def __init__(self, world: World) -> None:
        self._world = world

    async def list(self, request: web.Request) -> web.Response:
        found, cursor = pages.page(self._world.contract_ids, str, request.query, lambda _: True)
        return web.json_response(pages.body([self._document(contract_id) for contract_id in found], cursor))

    async def get(self, request: web.Request) -> web.Response:
        return web.json_response(self._document(request.match_info["contract"]))

    def _document(self, contract_id: str) -> dict[str, Any]:
        contract = self._world.contract(contract_id)
        if contract is None:
            raise Refused(404, "not_found", "no rows in result set")  # As in the sample of the error-handling page.
        return document(contract_id, contract)
