"""Lists in pages. Source: the API page "Handle pagination": forward only, by a cursor; the last page has none.

A cursor is a place in the list and nothing more: filters and `limit` hold for the request that they are given with.
Whether the service's cursors remember them is not published, nor how long they live; these live as long as the list.
"""

import re
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, TypeVar

from .refusals import bad

_DEFAULT = 10
_MOST = 10_000  # Of the changelog of version 1, for tasks and contracts; for version 2 no maximum is published.

T = TypeVar("T")


def page(
    entries: Sequence[T], name: Callable[[T], str], query: Mapping[str, str], keep: Callable[[T], bool]
) -> tuple[list[T], str | None]:
    """The entries that a query asks for, of those to keep, and the cursor to what follows. `name` gives an id."""
    limit = _limit(query)
    rest = [entry for entry in entries[_start(map(name, entries), query) :] if keep(entry)]
    found = rest[:limit]
    return found, _cursor(name(found[-1])) if len(rest) > limit else None


def body(data: list[dict[str, Any]], cursor: str | None) -> dict[str, Any]:
    """The JSON of a page. "The last page has no cursor" is the pagination page's word; a sample of another has `""`."""
    return {"data": data} if cursor is None else {"data": data, "cursor": cursor}


def _limit(query: Mapping[str, str]) -> int:
    given = query.get("limit", str(_DEFAULT))
    if re.fullmatch("[0-9]{1,9}", given) is None or not 1 <= int(given) <= _MOST:
        raise bad(f"limit must be 1..{_MOST}")
    return int(given)


def _start(names: Iterable[str], query: Mapping[str, str]) -> int:
    if "cursor" not in query:
        return 0
    for index, name in enumerate(names):
        if _cursor(name) == query["cursor"]:
            return index + 1
    raise bad("this cursor was never given")


def _cursor(name: str) -> str:
    """The place after the entry with this id."""
    return uuid.uuid5(uuid.NAMESPACE_OID, name).hex
