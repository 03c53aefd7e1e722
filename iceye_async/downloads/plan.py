"""What a download is made of: a wish for each asset, with the local name that it will have, and which are wanted.

Source: the API pages "Task products" and "Task derivatives". A product's links have opaque paths, so its files are
named after item id and asset key; a detection file has a readable name that may be the same for every task.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath
from typing import TypeAlias

from attrs import evolve, field, frozen

from ..errors import UsageError
from ..models import Derivative, DerivativeSet, DerivativeUpdate, Product
from ..protocol.links import file_name, mask, object_of, safe_name

Item: TypeAlias = Product | Derivative
Downloadable: TypeAlias = Item | DerivativeSet | DerivativeUpdate | Iterable["Downloadable"] | str

_SUFFIXES = {
    "image/tiff": ".tif",
    "application/x-geotiff": ".tif",
    "image/png": ".png",
    "application/xml": ".xml",
    "application/json": ".json",
    "application/geo+json": ".json",
    "application/vnd.google-earth.kml+xml": ".kml",
    "application/vnd.google-earth.kmz": ".kmz",
    "application/x-nitf": ".nitf",
    "video/mp4": ".mp4",
}


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
        digest = hashlib.sha256("\0".join(self.identity).encode("utf-8", "surrogatepass")).hexdigest()[:10]
        path = PurePosixPath(wanted)
        return f"{path.stem}-{digest}{path.suffix}"

    def answers_to(self, word: str) -> bool:
        """Whether the word is its key, one of its roles, or its media type (with parameters or without)."""
        kind = (self.type or "").lower()
        return word == self.key or word in self.roles or word.lower() in {kind, kind.partition(";")[0].strip()} - {""}

    @property
    def identity(self) -> tuple[str, str, str]:
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
    taken: set[str] = set()
    named = []
    for wish in unique.values():
        if wish.name.casefold() in taken:
            wish = evolve(wish, name=wish.name_apart(wish.name))
        taken.add(wish.name.casefold())
        named.append(wish)
    return tuple(named)


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
            name = safe_name(f"{item.id}_{key}{_suffix(asset.type, key)}")
            yield Wish(
                task_id=item.task_id,
                item_id=item.id,
                key=key,
                href=asset.href,
                name=name,
                of_product=True,
                fetched=item.fetched,
                type=asset.type,
                roles=asset.roles,
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
        )


def _suffix(media_type: str | None, key: str) -> str:
    suffix = _SUFFIXES.get((media_type or "").partition(";")[0].strip().lower(), "")
    return "" if key.endswith(suffix) else suffix
