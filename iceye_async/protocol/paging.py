"""Lists that come in pages: where the next one is, and whether there is an end to them.

The last page has no cursor, a cursor that is null, or an empty one: sources differ, and all three end a list.
"""

from typing import Any

from ..errors import DecodeError, PaginationLoop
from .wire import Flaw, Page, unreadable

_MOST_PAGES = 10_000


class Book:
    """The pages of a list so far. `cursor` is where the next one is, `error` what is wrong once it is `over`."""

    __slots__ = ("_flaws", "_seen", "cursor", "error", "items", "over")

    def __init__(self) -> None:
        self.items: list[Any] = []
        self.cursor: str | None = None
        self.over = False
        self.error: DecodeError | None = None
        self._flaws: list[Flaw] = []
        self._seen: set[str | None] = set()

    def add(self, page: Page) -> None:
        """Take the page that stands at the cursor."""
        self._seen.add(self.cursor)
        self.items += page.items
        where = "" if len(self._seen) == 1 else f"page {len(self._seen)} "
        self._flaws += [flaw._replace(path=where + flaw.path) for flaw in page.flaws]
        self.cursor = page.cursor
        if page.cursor is None:
            self.over = True
            self.error = unreadable(self._flaws) if self._flaws else None
        elif page.cursor in self._seen or len(self._seen) >= _MOST_PAGES:
            again = "the service gave a cursor again, so this list has no end"
            what = again if page.cursor in self._seen else f"this list goes on after {_MOST_PAGES} pages"
            message = f"{what}; the items so far are on .latest"
            self.over = True
            self.error = PaginationLoop(message, where=("$.cursor", *(flaw.path for flaw in self._flaws)))
