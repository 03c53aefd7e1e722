"""Derivatives: what machine learning found in an image. Source: the API page "Task derivatives"."""

from collections.abc import Collection, Iterator, Mapping
from typing import Any

from attrs import field, frozen

from ..protocol.links import mask
from .enums import DerivativeType


@frozen(kw_only=True)
class DerivativeAsset:
    """A file of a derivative. `type` is the service's word for the format (`geojson`), not a media type."""

    href: str = field(repr=lambda href: repr(mask(href)))
    """A signed link that lives one hour."""
    type: str | None = None


@frozen(kw_only=True)
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


@frozen
class DerivativeSet(Collection[Derivative]):
    """The derivatives of one task, in the service's order.

    `final` is true when the service answered 200: it says that every derivative asked for has its files.
    """

    entries: tuple[Derivative, ...] = field(alias="derivatives")
    final: bool = field(kw_only=True)

    def __iter__(self) -> Iterator[Derivative]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, derivative: object) -> bool:
        return derivative in self.entries

    def of(self, type: str) -> tuple[Derivative, ...]:  # noqa: A002 - the service's word
        """The derivatives of this type, with and without assets."""
        return tuple(entry for entry in self.entries if entry.type == type)

    @property
    def listed(self) -> frozenset[DerivativeType | str]:
        """The types on the list."""
        return frozenset(entry.type for entry in self.entries)

    @property
    def ready(self) -> frozenset[DerivativeType | str]:
        """The types all of whose entries have assets."""
        return self.listed - {entry.type for entry in self.entries if not entry.assets}


@frozen(kw_only=True)
class DerivativeUpdate(Collection[Derivative]):
    """One step of a wait for derivatives; iterating it iterates its `derivatives`.

    `derivatives` is everything the service listed so far; `fresh` holds the wanted derivatives that got assets since
    the previous update, each exactly once per wait; `ready` and `missing` split the wanted types (where no types were
    named: all types listed so far); `complete` is true on the last update of a wait that got everything.
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
