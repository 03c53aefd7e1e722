"""What a list of the API gave: a tuple that shows itself as a table in a notebook."""

from typing import SupportsIndex, TypeVar, overload

T = TypeVar("T", covariant=True)


class Listed(tuple[T, ...]):
    """A tuple like any other; in a notebook one of products or tasks is a table, and a map of where they are."""

    __slots__ = ()

    @overload
    def __getitem__(self, index: SupportsIndex) -> T: ...
    @overload
    def __getitem__(self, index: slice) -> "Listed[T]": ...
    def __getitem__(self, index: SupportsIndex | slice) -> "T | Listed[T]":
        if isinstance(index, slice):
            return Listed(super().__getitem__(index))
        return super().__getitem__(index)

    def _repr_html_(self) -> str | None:
        from ..display import cards

        return cards.listed(self)
