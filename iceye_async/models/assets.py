"""Which file of a product is what: its data, its metadata, its pictures to look at.

Asset keys are documented for one product type only (GRD), and ICEYE's own plugin does not trust them. So what an asset
is about is judged by its roles, then by its title, and by its key last; its form by its media type, else by its roles,
and by its key last. A key whose ending contradicts the media type is believed in nothing.

What is known of roles and media types, from the API (GRD) and from ICEYE's open catalogue (all others):

    data        image/tiff; application=geotiff, application/x-geotiff, application/x-nitf; the role `data`, if any
    metadata    application/xml, application/json, application/geo+json; the role `metadata`, which previews' have too
    quicklook   image/png, image/tiff; the roles `overview` and `visual`, if any
    thumbnail   image/png; the role `thumbnail`
"""

import re
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from typing import TYPE_CHECKING

from .enums import ProductType

if TYPE_CHECKING:
    from .product import Product, ProductAsset


class _About(Enum):
    DATA = auto()
    QUICKLOOK = auto()
    QUICKORTHO = auto()
    THUMBNAIL = auto()


class _Form(Enum):
    PICTURE = auto()
    RASTER = auto()
    TEXT = auto()
    OTHER = auto()


_ROLES: Mapping[str, _About] = {
    "thumbnail": _About.THUMBNAIL,
    "overview": _About.QUICKLOOK,
    "visual": _About.QUICKLOOK,
    "data": _About.DATA,
}
_FORMS: Mapping[str, _Form] = {
    "thumbnail": _Form.PICTURE,
    "data": _Form.RASTER,
    "metadata": _Form.TEXT,
}
_WORDS: Mapping[_About, str] = {
    _About.THUMBNAIL: r"thumb|(?<![a-z])thm(?![a-z])",
    _About.QUICKORTHO: r"quick[ _-]?ortho",
    _About.QUICKLOOK: r"quick[ _-]?look|(?<![a-z])qlk(?![a-z])|overview",
    _About.DATA: r"data|(?<![a-z])(?:grd|slc|csi|vid|sicd|sidd|cphd)(?![a-z])",
}
_MEDIA: Mapping[_Form, str] = {
    _Form.PICTURE: r"image/(?:png|jpe?g|gif|webp)",
    _Form.RASTER: r"image/(?:tiff|nitf)|application/(?:(?:x-|vnd\.)?(?:geotiff|nitf|hdf5?)|octet-stream)",
    _Form.TEXT: r"application/(?:(?:geo\+)?json|xml)|text/xml",
}
_ENDINGS: Mapping[_Form, str] = {
    _Form.PICTURE: r"png|jpe?g|gif|webp|thumbnail",
    _Form.RASTER: r"tiff?|cog|nitf|ntf|h5|sicd|sidd|cphd",
    _Form.TEXT: r"(?:geo)?json|xml",
    _Form.OTHER: r"km[lz]|mp4",
}


def data_asset(product: "Product") -> "ProductAsset | None":
    rasters = [*_of(product, _About.DATA, _Form.RASTER), *_of(product, _payload(product), _Form.RASTER)]
    return _first(
        (asset for asset in rasters if "data" in asset.roles),
        rasters,
        (asset for asset in product.assets.values() if "data" in asset.roles),
    )


def metadata(product: "Product") -> "ProductAsset | None":
    about = _payload(product)
    texts = [asset for asset in _of(product, about, _Form.TEXT) if "data" not in asset.roles]
    return _first((asset for asset in texts if "metadata" in asset.roles), texts)


def picture(product: "Product", about: str) -> "ProductAsset | None":
    """The quicklook or the thumbnail: something to look at, rather than something to measure in."""
    kind = _About[about.upper()]
    return _first(_of(product, kind, _Form.PICTURE), _of(product, kind, _Form.RASTER))


def _payload(product: "Product") -> _About:
    return _About.QUICKLOOK if product.product_type == ProductType.QLK else _About.DATA


def _first(*choices: "Iterable[ProductAsset]") -> "ProductAsset | None":
    return next((asset for choice in choices for asset in choice), None)


def _of(product: "Product", about: _About, form: _Form) -> "Iterator[ProductAsset]":
    for key, asset in product.assets.items():
        if _form(key, asset) is form and _about(key, asset) is about:
            yield asset


def _about(key: str, asset: "ProductAsset") -> _About:
    told = next((_ROLES[role] for role in asset.roles if role in _ROLES), None)
    if told is None and asset.title is not None:
        told = _named(asset.title)
    if told is None and _ending(key) in {None, _form(key, asset)}:
        told = _named(key)
    return _About.DATA if told is None else told


def _named(text: str) -> _About | None:
    return next((about for about, words in _WORDS.items() if re.search(words, text.lower())), None)


def _form(key: str, asset: "ProductAsset") -> _Form:
    if asset.type is None:
        told = next((_FORMS[role] for role in asset.roles if role in _FORMS), None)
        return told or _ending(key) or _Form.OTHER
    media = asset.type.partition(";")[0].strip().lower()
    return next((form for form, types in _MEDIA.items() if re.fullmatch(types, media)), _Form.OTHER)


def _ending(key: str) -> _Form | None:
    last = re.split(r"[-_.]", key.lower())[-1]
    return next((form for form, endings in _ENDINGS.items() if re.fullmatch(endings, last)), None)
