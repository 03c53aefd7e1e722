"""The quicklook of a product as pixels: fetched with its signed link, read, and made small enough to be kept.

Source: the API page "Task products".
"""

import asyncio
import io
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from ..errors import DecodeError, UsageError
from ..models import Product, ProductAsset
from ..protocol.links import clean
from .outputs import missing

if TYPE_CHECKING:
    from numpy import ndarray
    from PIL.Image import Image

    from ..client import Client

SIDE = 1024
"""Pixels of the longer side, at most: a notebook keeps all that it shows."""
_DARKEST, _BRIGHTEST = 2, 98
"""Of a hundred pixels that are not 8 bits deep, the ones that become black and white."""


@frozen
class Pixels:
    """A picture: `png` is it as a file, `shape` its width and height as it came, before it was made smaller."""

    png: bytes = field(repr=False)
    shape: tuple[int, int]


def picture_of(product: Product) -> ProductAsset | None:
    """What there is to look at."""
    return product.quicklook or product.thumbnail


async def fetched(client: "Client", product: Product) -> Pixels:
    """The quicklook, or where there is none the thumbnail.

    Raises `UsageError` where the product has neither, `DecodeError` where it is no picture, and what a download does.
    """
    try:
        import PIL.Image  # noqa: F401 - before anything is asked
    except ModuleNotFoundError as error:
        raise missing(error) from None
    picture = picture_of(product)
    if picture is None:
        there = ", ".join(clean(key, 60) for key in product.assets) or "nothing"
        raise UsageError(f"product {product.id} has no quicklook and no thumbnail to show; its assets are {there}")
    wanted = evolve(product, assets={key: asset for key, asset in product.assets.items() if asset is picture})
    with TemporaryDirectory(prefix="iceye-async-", ignore_cleanup_errors=True) as folder:
        [path] = await client.download(wanted, to=folder)
        return await asyncio.to_thread(_read, path, product.id)


def _read(path: Path, product_id: str) -> Pixels:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            shape = picture.size
            if picture.mode in {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}:
                small: Image = picture
            else:
                small = PIL.Image.fromarray(_stretched(picture))
            small.thumbnail((SIDE, SIDE))
            file = io.BytesIO()
            small.save(file, "PNG")
    # Decoders of hostile files raise whatever they meet; Pillow's own for PNG raises even SyntaxError.
    except (
        OSError,
        ValueError,
        SyntaxError,
        ArithmeticError,
        LookupError,
        TypeError,
        PIL.Image.DecompressionBombError,
    ) as e:
        raise DecodeError(
            f"the quicklook of product {product_id} is no picture that can be shown ({type(e).__name__}); "
            "client.download() fetches it as it is"
        ) from None
    return Pixels(file.getvalue(), shape)


def _stretched(picture: "Image") -> "ndarray[Any, Any]":
    """Sixteen bits and floats as eight, so that neither noise nor a single target decides what is seen."""
    import numpy

    values = numpy.nan_to_num(numpy.asarray(picture, dtype=float))
    black, white = numpy.percentile(values, [_DARKEST, _BRIGHTEST])
    scaled: ndarray[Any, Any] = numpy.clip((values - black) / max(white - black, 1e-12) * 255, 0, 255)
    return scaled.astype("uint8")
