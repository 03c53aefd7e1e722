"""What a download is made of: a wish for each asset, with the local name that it will have, and which are wanted.

Source: the API pages "Task products" and "Task derivatives". A product's links have opaque paths, so its files are
named after item id and asset key; a detection file has a readable name that may be the same for every task.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TypeAlias

from attrs import evolve, field, frozen

from ..errors import UsageError
from ..holdings import Identity, asset_name, distinct, name_apart
from ..models import Derivative, DerivativeSet, DerivativeUpdate, Product
from ..protocol.links import file_name, mask, mask_text, object_of, safe_name

Item: TypeAlias = Product | Derivative
Downloadable: TypeAlias = Item | DerivativeSet | DerivativeUpdate | Iterable["Downloadable"] | str


@frozen(kw_only=True)
class Wish:
    """One file to fetch. Task, item and key say which asset it is, whenever a new link for it is needed."""

    task_id: str
    item_id: str
    key: str
    href: str = field(repr=lambda href: repr(mask(href)))
    name: str
    of_product: bool
    fetched: float | None = None
    """When the link was given, in seconds since the epoch."""
    type: str | None = None
    roles: tuple[str, ...] = ()
    kind: str | None = None
    """The type of the product or derivative."""

    @property
    def asset(self) -> str:
        return f"{self.item_id}/{self.key}"

    @property
    def source(self) -> tuple[str, str, str]:
        """What is fetched: previews that several products of a task share are one file to the link host."""
        return (self.task_id, self.key, object_of(self.href))

    def name_from_host(self, told: str) -> str:
        """The name for what the link host calls by this name."""
        return safe_name(f"{self.item_id}_{told}")

    def name_apart(self, wanted: str) -> str:
        """The name where the wanted one is another asset's."""
        return name_apart(wanted, self.identity)

    def answers_to(self, word: str) -> bool:
        """Whether the word is its key, one of its roles, or its media type (with parameters or without)."""
        kind = (self.type or "").lower()
        return word == self.key or word in self.roles or word.lower() in {kind, kind.partition(";")[0].strip()} - {""}

    @property
    def identity(self) -> Identity:
        return (self.task_id, self.item_id, self.key)


def items(thing: object) -> tuple[Item, ...]:
    """The products and derivatives in a thing that can be downloaded."""
    if isinstance(thing, Product | Derivative):
        return (thing,)
    if isinstance(thing, Iterable) and not isinstance(thing, str | bytes):
        return tuple(item for part in thing for item in items(part))
    raise UsageError(
        f"download() takes a Product, a Derivative, a DerivativeSet, several of them, or one task id; "
        f"not {type(thing).__name__}"
    )


def wishes(found: Iterable[Item]) -> tuple[Wish, ...]:
    """A wish for each asset, each asset once, no two with the same name on any file system."""
    unique = {wish.identity: wish for item in found for wish in _of(item)}
    names = distinct((wish.identity, wish.name) for wish in unique.values())
    return tuple(evolve(wish, name=name) for wish, name in zip(unique.values(), names, strict=True))


def chosen(all_wishes: tuple[Wish, ...], words: tuple[str, ...] | None) -> tuple[Wish, ...]:
    """Those that answer to one of the words. A word to which no asset answers is a `UsageError`."""
    if words is None:
        return all_wishes
    unknown = [word for word in words if not any(wish.answers_to(word) for wish in all_wishes)]
    if unknown and all_wishes:
        there = ", ".join(sorted({wish.key for wish in all_wishes}))
        raise UsageError(f"no asset has the key, role or media type {', '.join(map(repr, unknown))}; there are {there}")
    return tuple(wish for wish in all_wishes if any(map(wish.answers_to, words)))


def _of(item: Item) -> Iterator[Wish]:
    if isinstance(item, Product):
        for key, asset in item.assets.items():
            yield Wish(
                task_id=item.task_id,
                item_id=item.id,
                key=key,
                href=asset.href,
                name=asset_name(item.id, key, asset.type),
                of_product=True,
                fetched=item.fetched,
                type=asset.type,
                roles=asset.roles,
                kind=_kind(item.product_type),
            )
        return
    kinds: Counter[str] = Counter()
    for found in item.assets:
        kind = found.type or "asset"
        kinds[kind] += 1
        key = kind if kinds[kind] == 1 else f"{kind}-{kinds[kind]}"
        remote = file_name(found.href)
        tail = remote if PurePosixPath(remote).suffix else f"{key}.{kind}"
        name = safe_name(f"{item.id}_{tail}")
        yield Wish(
            task_id=item.task_id,
            item_id=item.id,
            key=key,
            href=found.href,
            name=name,
            of_product=False,
            fetched=item.fetched,
            type="application/geo+json" if kind == "geojson" else found.type,
            kind=_kind(item.type),
        )


def _kind(told: str | None) -> str | None:
    """A type that the service made up must not bring a link into a manifest."""
    return None if told is None else mask_text(str(told))
