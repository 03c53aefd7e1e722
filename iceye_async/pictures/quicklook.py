"""The quicklook of a product as pixels: fetched with its signed link, read, and made small enough to be kept.

Source: the API page "Task products".
"""

import asyncio
import io
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from attrs import evolve, field, frozen

from .. import detections
from ..errors import DecodeError, DownloadError, IceyeError, UsageError
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


async def fetched(client: "Client", products: Sequence[Product]) -> list[Pixels | IceyeError]:
    """The quicklook of each product, or where it has none the thumbnail; or why it is not there.

    They come side by side, as files of one download do: `DownloadError` where one does not come, `DecodeError` where
    it is no picture, `UsageError` where the product has neither. Raises what ends the download as a whole.
    """
    try:
        import PIL.Image  # noqa: F401 - before anything is asked
    except ModuleNotFoundError as error:
        raise missing(error) from None
    detections.check_client(client)
    wanted = {product.id: _with_picture_alone(product) for product in products if picture_of(product) is not None}
    with detections.temporary() as folder:
        download = client.download(wanted.values(), to=folder)
        failure: DownloadError | None = None
        try:
            await download
        except DownloadError as error:
            failure = error
        files = {event.asset.rpartition("/")[0]: Path(event.path) for event in download.latest}
        return await asyncio.to_thread(_all_of, products, files, failure)


def _with_picture_alone(product: Product) -> Product:
    picture = picture_of(product)
    return evolve(product, assets={key: asset for key, asset in product.assets.items() if asset is picture})


def _all_of(
    products: Iterable[Product], files: Mapping[str, Path], failure: DownloadError | None
) -> list[Pixels | IceyeError]:
    found: list[Pixels | IceyeError] = []
    for product in products:
        try:
            found.append(_one_of(product, files.get(product.id), failure))
        except IceyeError as error:
            found.append(error)
    return found


def _one_of(product: Product, file: Path | None, failure: DownloadError | None) -> Pixels:
    if file is not None:
        return _read(file, clean(product.id, 60))
    if picture_of(product) is None:
        there = ", ".join(clean(key, 60) for key in product.assets) or "nothing"
        raise UsageError(
            f"product {clean(product.id, 60)} has no quicklook and no thumbnail to show; its assets are {there}"
        )
    assert failure is not None  # noqa: S101 - what does not come of a download has an error
    raise next((error for asset, error in failure.failed.items() if asset.startswith(f"{product.id}/")), failure)


def _read(path: Path, product_id: str) -> Pixels:
    import PIL.Image

    try:
        with PIL.Image.open(path) as picture:
            shape = picture.size
            if picture.mode in {"1", "L", "LA", "P", "PA", "RGB", "RGBA"}:
                small: Image = picture
            elif len(picture.getbands()) > 1:
                small = picture.convert("RGB")
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
        # Where warnings are errors.
        PIL.Image.DecompressionBombWarning,
    ) as e:
        raise DecodeError(
            f"the quicklook of product {product_id} is no picture that can be shown ({type(e).__name__}); "
            "client.download() fetches it as it is"
        ) from None
    return Pixels(file.getvalue(), shape)


def _stretched(picture: "Image") -> "ndarray[Any, Any]":
    """Sixteen bits and floats as eight, so that neither noise nor a single target decides what is seen."""
    import numpy

    step = max(1, max(picture.size) // (2 * SIDE))
    values = numpy.nan_to_num(numpy.asarray(picture)[::step, ::step].astype("float32"))
    black, white = numpy.percentile(values, [_DARKEST, _BRIGHTEST])
    scaled: ndarray[Any, Any] = numpy.clip((values - black) / max(white - black, 1e-12) * 255, 0, 255)
    return scaled.astype("uint8")
