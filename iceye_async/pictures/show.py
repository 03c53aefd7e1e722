"""A product in a notebook, with its quicklook."""

from base64 import b64encode
from typing import TYPE_CHECKING

from attrs import define, field

from ..display import cards, markup
from ..errors import UsageError
from ..models import Product
from .outputs import Shown
from .quicklook import Pixels, fetched

if TYPE_CHECKING:
    from ..client import Client

_WIDTH = 420
"""Pixels that a picture is wide on a page, at most."""


async def show(client: "Client", product: Product) -> "Quicklook":
    """See `notebook.show`."""
    if not isinstance(product, Product):
        raise UsageError(
            f"show() takes a Product, one of `await client.products.list(task_id)`, not {type(product).__name__}"
        )
    shown = Quicklook(product, await fetched(client, product))
    shown.put()
    return shown


@define(slots=False, eq=False, repr=False)
class Quicklook(Shown):
    """A product with its picture, as HTML that holds both. `png` is the picture as it is embedded."""

    product: Product
    _pixels: Pixels = field(alias="pixels")

    @property
    def png(self) -> bytes:
        """The picture as a PNG file."""
        return self._pixels.png

    def __repr__(self) -> str:
        width, height = self._pixels.shape
        return f"<quicklook of product {self.product.id}, {width} x {height} pixels>"

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
