"""What a list of the API gave: a tuple that shows itself as a table in a notebook."""

from typing import TypeVar

T = TypeVar("T", covariant=True)


class Listing(tuple[T, ...]):
    """A tuple like any other; in a notebook one of products or tasks is a table, and a map of where they are."""

    __slots__ = ()

    def _repr_html_(self) -> str | None:
        from ..display import cards

        return cards.listing(self)
