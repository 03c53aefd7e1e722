"""Derivatives: what machine learning found in an image. Source: the API page "Task derivatives"."""

from collections.abc import Callable, Collection, Iterator, Mapping
from functools import cached_property
from typing import Any

from attrs import field, frozen

from ..protocol.links import mask
from .enums import DerivativeType
from .masking import masked


@frozen(kw_only=True, field_transformer=masked)
class DerivativeAsset:
    """A file of a derivative. `type` is the service's word for the format (`geojson`), not a media type."""

    href: str = field(repr=lambda href: repr(mask(href)))
    """A signed link that lives one hour."""
    type: str | None = None


@frozen(kw_only=True, field_transformer=masked)
class Derivative:
    """One detection run over one image. Without assets it is still being made.

    `id` is a string: a documented id is not a valid UUID. `document` is the JSON as received, links included.
    """

    id: str
    type: DerivativeType | str
    task_id: str
    image_reference: str | None = None
    image_id: str | None = None
    assets: tuple[DerivativeAsset, ...] = ()
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)
    fetched: float | None = field(default=None, eq=False, repr=False)
    """When it was given, in seconds since the epoch by the service's clock: its links live one hour from then."""

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.derivative(self)


@frozen(eq=False)
class DerivativeSet(Collection[Derivative]):
    """The derivatives of one task, in the service's order.

    `final` is true when the service answered 200: it says that every derivative asked for has its files.
    """

    _read: tuple[Derivative, ...] | Callable[[], tuple[Derivative, ...]] = field(alias="derivatives", repr=False)
    final: bool = field(kw_only=True)

    @cached_property
    def _entries(self) -> tuple[Derivative, ...]:
        # Most looks of a long wait bring nothing but new signatures; they are read when somebody reads them.
        return self._read() if callable(self._read) else self._read

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, DerivativeSet):
            return NotImplemented
        return (self._entries, self.final) == (other._entries, other.final)

    def __hash__(self) -> int:
        return hash((self._entries, self.final))

    def __repr__(self) -> str:
        return f"DerivativeSet({self._entries!r}, final={self.final})"

    def __reduce__(self) -> tuple[Any, ...]:
        return (_derivative_set, (self._entries, self.final))

    def __iter__(self) -> Iterator[Derivative]:
        return iter(self._entries)

    def __len__(self) -> int:
        return len(self._entries)

    def __contains__(self, derivative: object) -> bool:
        return derivative in self._entries

    def of(self, type: str) -> tuple[Derivative, ...]:  # noqa: A002 - the service's word
        """The derivatives of this type, with and without assets."""
        return tuple(entry for entry in self._entries if entry.type == type)

    @property
    def listed(self) -> frozenset[DerivativeType | str]:
        """The types on the list."""
        return frozenset(entry.type for entry in self._entries)

    @property
    def ready(self) -> frozenset[DerivativeType | str]:
        """The types all of whose entries have assets."""
        return self.listed - {entry.type for entry in self._entries if not entry.assets}

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.derivatives(self)


def _derivative_set(derivatives: tuple[Derivative, ...], final: bool) -> DerivativeSet:
    return DerivativeSet(derivatives, final=final)


@frozen(kw_only=True, field_transformer=masked)
class DerivativeUpdate(Collection[Derivative]):
    """One step of a wait for derivatives; iterating it iterates its `derivatives`.

    `derivatives` is everything the service listed so far; `fresh` holds the wanted derivatives that got assets since
    the previous update, each exactly once per wait; `ready` and `missing` split the wanted types (where no types were
    named: all types listed so far, or those of the list that the service calls final); `complete` is true on the last
    update of a wait that got everything.
    """

    derivatives: DerivativeSet
    fresh: tuple[Derivative, ...]
    ready: frozenset[DerivativeType | str]
    missing: frozenset[DerivativeType | str]
    complete: bool

    def __iter__(self) -> Iterator[Derivative]:
        return iter(self.derivatives)

    def __len__(self) -> int:
        return len(self.derivatives)

    def __contains__(self, derivative: object) -> bool:
        return derivative in self.derivatives

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.update(self)
