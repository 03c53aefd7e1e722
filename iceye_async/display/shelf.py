"""What has become of each type that is waited for, and of the files of each, by what a wait and its downloads told."""

from collections.abc import Iterable

from attrs import define, field

from ..events import DownloadEvent, Failed, Finished
from ..models import Derivative, DerivativeUpdate, Product, ProductUpdate
from .account import Account, Row, name, reason
from .found import detections
from .text import harmless

KEPT = 20
"""So many files of a type at most have a row of their own; the others are counted."""


@define
class File:
    """A file that is over. `why` is the reason where it failed."""

    name: str
    item: str = ""
    """The id of what it belongs to, with which its name begins."""
    size: int = 0
    found: int | None = None
    why: str = ""
    known: bool = False

    @property
    def short(self) -> str:
        """Its name without that."""
        return self.name.removeprefix(f"{self.item}_")


@define
class Kind:
    """A type. It is ready when all of its entries have assets, and being made while it is listed without."""

    name: str
    ready: bool = False
    listed: bool = False
    files: list[File] = field(factory=list)
    whole: int = 0
    failed: int = 0
    bytes: int = 0
    found: int | None = None

    def add(self, file: File) -> None:
        """A file of this type is over."""
        if file.why:
            self.failed += 1
        else:
            self.whole, self.bytes = self.whole + 1, self.bytes + file.size
            if file.found is not None:
                self.found = (self.found or 0) + file.found
        if len(self.files) < KEPT:
            self.files.append(file)


class Shelf:
    """The types of a wait, those that are wanted first; and all files, each under its type."""

    def __init__(self, wanted: Iterable[str]) -> None:
        self.kinds = {kind: Kind(harmless(kind)) for kind in wanted}
        self.account = Account()
        self.last: File | None = None
        """The file that was last told to be over."""
        self._all = not self.kinds
        self._types: dict[str, str] = {}
        # Those that are not waited for, but of which files came; without a name where nobody knows it.
        self._others: dict[str, Kind] = {}

    def seen(self, update: ProductUpdate | DerivativeUpdate) -> None:
        """What the service lists."""
        news = {kind for kind in update.ready if not self._is_ready(kind)}
        for kind in sorted({*update.ready, *update.missing}):
            self._kind(kind).ready = kind in update.ready
        if isinstance(update, DerivativeUpdate):
            self._seen_derivatives(update.derivatives)
        else:
            self._seen_products(update, news)

    def _seen_derivatives(self, listed: Iterable[Derivative]) -> None:
        for derivative in listed:
            self._types[derivative.id] = derivative.type
            if self._all or derivative.type in self.kinds:
                self._kind(derivative.type).listed = True

    def _seen_products(self, update: ProductUpdate, news: set[str]) -> None:
        for product in update.products:
            self._types.setdefault(product.id, self._type_of(product, update, news))

    def _type_of(self, product: Product, update: ProductUpdate, news: set[str]) -> str:
        """What came as a type may call itself another; where one type alone has come, it is of that."""
        told = product.product_type or ""
        if told in update.ready or told in update.missing or len(news) != 1:
            return told
        return next(iter(news))

    def _is_ready(self, kind: str) -> bool:
        return kind in self.kinds and self.kinds[kind].ready

    def _kind(self, kind: str) -> Kind:
        return self.kinds.setdefault(kind, Kind(harmless(kind)))

    def told(self, event: DownloadEvent, now: float) -> None:
        """An event of a download; `now` is the moment at which it was told."""
        self.account.told(event, now)
        item = self._item(event.asset)
        if isinstance(event, Finished):
            self.last = File(name(event), item, event.size, detections(event.path), known=event.known)
        elif isinstance(event, Failed):
            self.last = File(name(event), item, why=reason(event))
        else:
            return
        self.of(event.asset).add(self.last)

    def of(self, asset: str) -> Kind:
        """The type that an asset belongs to."""
        kind = self._types.get(self._item(asset), "")
        if kind in self.kinds:
            return self.kinds[kind]
        return self._others.setdefault(kind, Kind(harmless(kind), ready=True))

    def _item(self, asset: str) -> str:
        """An asset is called by the id of its item, and its key."""
        head, slash, _ = asset.rpartition("/")
        while slash:
            if head in self._types:
                return head
            head, slash, _ = head.rpartition("/")
        return asset.rpartition("/")[0]

    @property
    def under_way(self) -> list[tuple[Kind, File, Row]]:
        """The files that are under way."""
        rows = self.account.under_way.items()
        return [(self.of(asset), File(row.name, self._item(asset)), row) for asset, row in rows]

    # --- sums ------------------------------------------------------------------------------------------------------

    @property
    def all(self) -> list[Kind]:
        """Every type that there is something to say of."""
        return [*self.kinds.values(), *self._others.values()]

    @property
    def names(self) -> list[str]:
        return [kind.name for kind in self.all]

    @property
    def ready(self) -> list[str]:
        return [kind.name for kind in self.kinds.values() if kind.ready]

    @property
    def missing(self) -> list[str]:
        return [kind.name for kind in self.kinds.values() if not kind.ready]

    @property
    def whole(self) -> int:
        """How many files are whole."""
        return sum(kind.whole for kind in self.all)

    @property
    def failed(self) -> int:
        return sum(kind.failed for kind in self.all)

    @property
    def bytes(self) -> int:
        return sum(kind.bytes for kind in self.all)


def counted(found: int | None) -> str:
    """So many detections; nothing where that is not known."""
    if found is None:
        return ""
    return "1 detection" if found == 1 else f"{found:,} detections"
