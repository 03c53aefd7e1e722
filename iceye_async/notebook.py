"""Pictures for a notebook: `show()` the quicklook of a product, `plot()` detections where they are (extra `notebook`).

What they give is also put into the output of the cell, so it is seen wherever in a cell it is asked for. The picture is
in the notebook when that is saved; a link never is.
"""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from .client import Client
    from .geo import Derivatives
    from .models import Product
    from .pictures.show import Quicklook


async def show(client: "Client", product: "Product") -> "Quicklook":
    """The quicklook of the product (its thumbnail where it has none), put into the output of the cell.

        await iceye_async.notebook.show(client, product)

    It is fetched once, made no larger than 1024 pixels a side, and embedded: it stays in the saved notebook, and its
    link does not. A GeoTIFF of more than 8 bits is stretched from its 2nd to its 98th percentile. Beside it stand how
    the product was acquired, in units, and its footprint.

    Raises `UsageError` where the product has no picture, `DecodeError` where what came is none, `MissingExtra` without
    the extra `notebook`, and what `client.download()` does.

    Source: the API page "Task products".
    """
    from .pictures.show import show

    return await show(client, product)


async def plot(client: "Client", derivatives: "Derivatives") -> "Figure":
    """Detections on a map of longitude and latitude in degrees, over the quicklook of their task.

        await iceye_async.notebook.plot(client, await client.derivatives.get(task_id))

    The figure is matplotlib's, with axes for each task, and is put into the output of the cell. Points are marks,
    areas are outlines, and marks where they would be too small to be seen. They are coloured by class where the files
    have a property for it (`class`, `classification`, `label` and the like; the schema is not public), else by the
    type of the derivative; the legend counts them.

    The quicklook is placed by the corners that its product names, else by the product's footprint (the least rectangle
    around it, where that has not four corners) with north up: which way it is turned is not documented. Where a task
    has none, or its products cannot be had, the map says so and shows the rest. Types that are being made still are
    named below it.

    Raises `UsageError` for more than nine tasks, or files in another system of coordinates than WGS 84
    (`iceye_async.geo.to_geodataframe()` takes both), `DecodeError` for what is no GeoJSON, `MissingExtra` without the
    extra `notebook`, and what fetching does.

    Source: the API pages "Task derivatives" and "Task products".
    """
    from .pictures.plot import plot

    return await plot(client, derivatives)
