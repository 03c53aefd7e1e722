"""New links for old. A link lives one hour, and the link host looks at it when a request begins.

Source: the API pages "Task products" and "Task derivatives". A new one is had by asking the task for its products or
derivatives again, and is the one of the same item and asset; all files of one task share what one such question brings.
"""

import asyncio

from attrs import frozen

from ..errors import DecodeError, IceyeError, LinkExpired
from ..protocol.links import LIFE, expiry
from ..resources import Derivatives, Products
from ..session import Session
from . import plan
from .plan import Wish

MARGIN = 300.0
"""Seconds. A link with less left is renewed before it is used; where its life is short, a fifth of that."""


@frozen
class _Link:
    href: str
    fetched: float


class Renewals:
    """The links of one download, as they are now. Lives in the event loop."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._began = session.wall()
        self._links: dict[tuple[str, str, str], _Link] = {}
        self._locks: dict[tuple[str, bool], asyncio.Lock] = {}

    async def link(self, wish: Wish, refused: str | None) -> str:
        """A link for the next request. `refused` is one that the link host did not accept.

        Raises `LinkExpired` where there is no other, and what the API says, where that may be better later.
        """
        if self._is_good(self._now(wish), refused):
            return self._now(wish).href
        async with self._locks.setdefault((wish.task_id, wish.of_product), asyncio.Lock()):
            # Another file of the task may have asked meanwhile.
            if not self._is_good(self._now(wish), refused):
                await self._renew(wish, refused)
        return self._now(wish).href

    def _now(self, wish: Wish) -> _Link:
        known = self._links.get(wish.identity)
        return _Link(wish.href, self._began if wish.fetched is None else wish.fetched) if known is None else known

    def _is_good(self, link: _Link, refused: str | None) -> bool:
        if refused is not None:
            return link.href != refused
        return self._left(link) >= min(MARGIN, 0.2 * self._life(link))

    def _left(self, link: _Link) -> float:
        """Seconds that it still lives."""
        end = expiry(link.href, link.fetched)
        return LIFE if end is None else end - self._session.wall()

    def _life(self, link: _Link) -> float:
        end = expiry(link.href, link.fetched)
        return LIFE if end is None else max(0.0, end - link.fetched)

    async def _renew(self, wish: Wish, refused: str | None) -> None:
        try:
            found = await self._ask(wish)
        except IceyeError as error:
            if refused is None:
                # The old one may still hold, and the link host is the one who knows.
                return
            if error.transient:
                raise
            message = f"{wish.asset}: its link is over, and a new one is not to be had, ask for the item again: {error}"
            raise LinkExpired(message, asset=wish.asset) from error.with_traceback(None)
        before = self._now(wish)
        for other in plan.wishes(found):
            self._links[other.identity] = _Link(other.href, self._session.wall())
        now = self._links.get(wish.identity)
        if refused is not None and (now is None or now.href == before.href):
            why = "lists it no more" if now is None else "gives the same again"
            message = (
                f"{wish.asset}: the link host does not accept its link, and the service {why}; ask for the item again"
            )
            raise LinkExpired(message, asset=wish.asset)

    async def _ask(self, wish: Wish) -> tuple[plan.Item, ...]:
        if not wish.of_product:
            try:
                return tuple(await Derivatives(self._session).get(wish.task_id))
            except DecodeError as error:
                return tuple(error.latest or ())
        products = Products(self._session).list(wish.task_id)
        try:
            return await products
        except DecodeError:
            return products.latest
