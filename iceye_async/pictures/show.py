"""A product in a notebook, with its quicklook."""

from base64 import b64encode
from collections.abc import Awaitable, Iterable, Mapping
from typing import TYPE_CHECKING

from attrs import define, field

from ..display import cards, markup
from ..errors import IceyeError, UsageError
from ..models import Derivative, DerivativeSet, DerivativeUpdate, Product
from ..protocol.links import clean
from .outputs import Shown
from .quicklook import Pixels, fetched

if TYPE_CHECKING:
    from ..client import Client

_WIDTH = 420
"""Pixels that a picture is wide on a page, at most."""


async def show(client: "Client", product: Product) -> "Quicklook":
    """See `notebook.show`."""
    if not isinstance(product, Product):
        raise UsageError(f"show() takes one Product, not {type(product).__name__}; {_hint(product)}")
    [pixels] = await fetched(client, [product])
    if isinstance(pixels, IceyeError):
        raise pixels
    shown = Quicklook(product, pixels)
    await shown.put()
    return shown


def _hint(thing: object) -> str:
    if isinstance(thing, Awaitable) or hasattr(thing, "__aiter__"):
        return "write `await` before it, and show what it gives one by one"
    several = thing if isinstance(thing, list | tuple) else [thing]
    if any(isinstance(one, Derivative | DerivativeSet | DerivativeUpdate) for one in several):
        return "`await iceye_async.notebook.plot(client, derivatives)` shows what was detected"
    if isinstance(thing, Iterable) and not isinstance(thing, str | bytes | Mapping):
        return "show them one by one: `for product in products: await show(client, product)`"
    return "`await client.products.list(task_id)` gives those of a task"


@define(slots=False, eq=False, repr=False)
class Quicklook(Shown):
    """A product with its picture, as HTML that holds both. `png` is the picture as it is embedded."""

    product: Product
    _pixels: Pixels = field(alias="pixels")

    @property
    def png(self) -> bytes:
        """The picture as a PNG file."""
        return self._pixels.png

    def bundle(self) -> dict[str, str]:
        return {"text/html": self._repr_html_(), "text/plain": repr(self)}

    def __repr__(self) -> str:
        width, height = self._pixels.shape
        return f"<quicklook of product {clean(self.product.id, 60)}, {width} x {height} pixels>"

    def _repr_html_(self) -> str:
        product, (width, height) = self.product, self._pixels.shape
        data = b64encode(self.png).decode()
        picture = (
            f'<img src="data:image/png;base64,{data}" width="{min(_WIDTH, width)}" '
            f'alt="quicklook of product {markup.said(product.id)}" style="max-width:100%"><br>'
            + markup.faint(f"{width:,} x {height:,} pixels as it came")
        )
        return markup.card(
            cards.title(product),
            markup.beside(picture, markup.facts(cards.acquisition(product)) + cards.footprint(product)),
        )
