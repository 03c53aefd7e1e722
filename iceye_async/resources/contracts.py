"""Contracts: what may be ordered. Source: the API pages "List contracts" and "Get a contract" (company v1)."""

from functools import partial

from ..models import Contract
from ..pending import Pages
from ..protocol import replies, requests
from ..session import Session


class Contracts:
    """`client.contracts`"""

    def __init__(self, session: Session) -> None:
        self._session = session

    def list(self) -> Pages[Contract]:
        """The contracts that these credentials may see: await it for all, iterate it for one after the other.

        Raises `PaginationLoop` where the list has no end.
        """
        return Pages(self._session, requests.list_contracts, partial(replies.page, model=Contract))

    async def get(self, contract_id: str) -> Contract:
        """One contract. Raises `NotFound` where there is none with this id."""
        return await self._session.call(requests.get_contract(contract_id), replies.contract)
