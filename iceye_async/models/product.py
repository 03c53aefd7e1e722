"""Products: the images of a task, as STAC items. Source: the API page "Task products"."""

from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from typing import TYPE_CHECKING, Any

from attrs import field, frozen

from ..protocol.links import mask, mask_text, mask_within
from . import assets as files
from .enums import ProductType
from .masking import masked
from .task import Interval

if TYPE_CHECKING:
    import os

    import pystac


@frozen(kw_only=True, field_transformer=masked)
class ProductAsset:
    """A file of a product. `type` is its media type."""

    href: str = field(repr=lambda href: repr(mask(href)))
    """A signed link that lives one hour."""
    title: str | None = None
    type: str | None = None
    roles: tuple[str, ...] = ()
    coordinates: Mapping[str, Any] | None = field(default=None, hash=False)
    """Of a thumbnail: the [lon, lat] of its corners, by `top_left`, `top_right`, `bottom_left`, `bottom_right`."""


@frozen(kw_only=True, field_transformer=masked)
class Product:
    """One product of a task.

    Only `id` and `assets` are always there. One product type may come as several items (a strip is split into frames,
    told apart by `frame_id`). `document` is the STAC item as received, links included.
    """

    id: str
    task_id: str
    product_type: ProductType | str | None = None
    mode: str | None = None
    """The acquisition mode as the item has it (`stripmap`): other words than a task's `imaging_mode`."""
    acquired: Interval | None = None
    """When the radar took the picture."""
    created: datetime | None = None
    frame_id: str | None = None
    bbox: tuple[float, ...] | None = None
    """West, south, east, north in degrees."""
    geometry: Mapping[str, Any] | None = field(default=None, hash=False)
    """The footprint: GeoJSON, [lon, lat] in degrees."""
    incidence_near: float | None = None
    """Degrees from the vertical, at the edge nearest to the satellite."""
    incidence_center: float | None = None
    """Degrees from the vertical, in the middle."""
    incidence_far: float | None = None
    """Degrees from the vertical, at the edge farthest from the satellite."""
    azimuth_resolution: float | None = None
    """Metres, along the flight."""
    range_resolution_near: float | None = None
    """Metres, across the flight, at the near edge."""
    range_resolution_center: float | None = None
    """Metres, across the flight, in the middle."""
    range_resolution_far: float | None = None
    """Metres, across the flight, at the far edge."""
    look_side: str | None = None
    orbit_state: str | None = None
    polarizations: tuple[str, ...] = ()
    assets: Mapping[str, ProductAsset] = field(factory=dict, hash=False)
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)
    fetched: float | None = field(default=None, eq=False, repr=False)
    """When it was given, in seconds since the epoch by the service's clock: its links live one hour from then."""

    @property
    def data_asset(self) -> ProductAsset | None:
        """The measurement itself, as a raster; of a quicklook product its raster. None where no asset is one."""
        return files.data_asset(self)

    @property
    def metadata(self) -> ProductAsset | None:
        """What describes the data, as XML or JSON; never the description of a preview. None where no asset is one."""
        return files.metadata(self)

    @property
    def quicklook(self) -> ProductAsset | None:
        """The picture to look at, as PNG where there is one, else as a raster. None where no asset is one."""
        return files.picture(self, "quicklook")

    @property
    def thumbnail(self) -> ProductAsset | None:
        """The smallest picture, as PNG where there is one, else as a raster. None where no asset is one."""
        return files.picture(self, "thumbnail")

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.product(self)

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """The footprint as a GeoJSON feature, without links."""
        feature = {
            "type": "Feature",
            "id": mask_text(self.id),
            "geometry": mask_within(self.geometry),
            "properties": mask_within(self.document.get("properties") or {}),
        }
        return feature if self.bbox is None else {**feature, "bbox": self.bbox}

    def to_pystac(self, folder: "str | os.PathLike[str] | None" = None) -> "pystac.Item":
        """The product as a STAC item, without links (extra `stac`).

        Without `folder` its assets are all that there are, each as `./<name>`: where `client.download()` puts it beside
        an item, if the link host has no name of its own for it. With the `folder` of a download they are those that
        are there as its manifest says, by their absolute paths.

        The item is valid, of the version that pystac writes, as long as the document uses STAC's own words in STAC's
        meaning; what it says beyond STAC stays. Roles of assets and extensions are those that it names: none is added.

        Raises `MissingExtra` without pystac; `UsageError` where the product tells no time, its footprint is a
        GeometryCollection, or there is no such folder; `DecodeError` for a footprint that is none, and `DownloadError`
        for a manifest that cannot be read.
        """
        from .stac import item

        return item(self, folder)


@frozen(kw_only=True, field_transformer=masked)
class ProductUpdate(Collection[Product]):
    """One step of a wait for products; iterating it iterates its `products`.

    `products` is everything the service listed so far; `fresh` holds the wanted products that became available since
    the previous update, each exactly once per wait; `ready` and `missing` split the wanted types (where no types were
    named: all types listed so far); `complete` is true on the last update of a wait that got everything. A product that
    came as a type may call itself another (`product_type`), as the documented GRD-COG does: what counts is what was
    asked.
    """

    products: tuple[Product, ...]
    fresh: tuple[Product, ...]
    ready: frozenset[ProductType | str]
    missing: frozenset[ProductType | str]
    complete: bool

    def __iter__(self) -> Iterator[Product]:
        return iter(self.products)

    def __len__(self) -> int:
        return len(self.products)

    def __contains__(self, product: object) -> bool:
        return product in self.products

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """The footprints of all products as a GeoJSON collection, without links."""
        return {"type": "FeatureCollection", "features": [product.__geo_interface__ for product in self.products]}

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.products(self)
