"""What models look like in a notebook: cards of HTML, with their facts, in units, and where they are on the ground.

Links are not on them: a notebook is saved, and a link is a secret for an hour.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, cast

from .ground import area, ground
from .markup import AMBER, BLUE, GREEN, MOST, RED, beside, card, code, facts, faint, mark, said, table
from .text import duration

if TYPE_CHECKING:
    from ..models.derivative import Derivative, DerivativeSet, DerivativeUpdate
    from ..models.product import Product, ProductUpdate
    from ..models.task import AngleRange, Interval, Position, Task

_SIGNS = {
    "FULFILLED": ("●", GREEN),
    "DONE": ("✓", GREEN),
    "REJECTED": ("✗", RED),
    "FAILED": ("✗", RED),
    "CANCELED": ("✗", RED),
}


def product(shown: "Product") -> str:
    """A product: what it is, how and when it was acquired, its assets, and its footprint."""
    assets = [
        [code(key), said(asset.title or ""), faint(said(asset.type or "")), said(", ".join(asset.roles))]
        for key, asset in list(shown.assets.items())[:MOST]
    ]
    heads = ["asset", "title", "type", "roles"]
    if not any(row[-1] for row in assets):
        heads, assets = heads[:-1], [row[:-1] for row in assets]
    return card(
        title(shown),
        beside(facts(acquisition(shown)), footprint(shown)),
        table(heads, assets, total=len(shown.assets)),
    )


def title(shown: "Product") -> str:
    """Which product it is."""
    return f"<b>{said(shown.product_type or 'Product')}</b> {faint('product')} {code(shown.id)}"


def footprint(shown: "Product") -> str:
    """Where it is on the ground."""
    return ground(shown.geometry, title=f"footprint of product {said(shown.id)}")


def acquisition(shown: "Product") -> list[tuple[str, str]]:
    """What is known of how a product was acquired, by name, in its units."""
    covered = area(shown.geometry)
    return [
        ("task", code(shown.task_id)),
        ("acquired", _span(shown.acquired)),
        ("mode", said(shown.mode or "")),
        ("frame", said(shown.frame_id or "")),
        ("polarization", said(", ".join(shown.polarizations))),
        ("look", _joined(said(shown.look_side or ""), said(shown.orbit_state or ""))),
        (
            "incidence",
            _near_to_far(shown.incidence_near, shown.incidence_center, shown.incidence_far, "°", places=1),
        ),
        (
            "resolution",
            _joined(
                _amount(shown.azimuth_resolution, " m in azimuth"),
                _near_to_far(
                    shown.range_resolution_near,
                    shown.range_resolution_center,
                    shown.range_resolution_far,
                    " m in range",
                ),
            ),
        ),
        ("covers", "" if covered is None else f"{covered:,.0f} km²" if covered >= 10 else f"{covered:.2g} km²"),
        ("created", _time(shown.created)),
    ]


def products(update: "ProductUpdate") -> str:
    """The products of a wait, so far."""
    return card(
        f"{_counted(len(update.products), 'product')} {_of_tasks(update.products)}",
        _ready_and_missing(update.ready, update.missing, complete=update.complete),
        _products(update.products, frozenset(item.id for item in update.fresh)),
    )


def listed(items: "Sequence[object]") -> str | None:
    """A table of products, or of tasks, with a map of where they are; None of anything else, which has none."""
    from ..models.product import Product
    from ..models.task import Task

    if not items:
        return None
    if all(isinstance(item, Product) for item in items):
        products = cast("Sequence[Product]", items)
        return card(f"{_counted(len(items), 'product')} {_of_tasks(products)}", _products(products, frozenset()))
    if all(isinstance(item, Task) for item in items):
        return card(_counted(len(items), "task"), _tasks(cast("Sequence[Task]", items)))
    return None


def _products(listed: "Sequence[Product]", fresh: frozenset[str]) -> str:
    rows = [
        [
            said(item.product_type or "product"),
            code(item.id),
            said(item.frame_id or ""),
            _time(None if item.acquired is None else item.acquired.start),
            f"{len(item.assets):,}",
            mark("●", BLUE, "new") if item.id in fresh else "",
        ]
        for item in listed[:MOST]
    ]
    heads = ["type", "product", "frame", "acquired", "assets", ""]
    return beside(
        table(heads, rows, total=len(listed), right={"assets"}),
        _map((item.geometry for item in listed[:MOST]), "footprints", "products", len(listed)),
    )


def _tasks(listed: "Sequence[Task]") -> str:
    rows = [
        [
            status(item.status),
            code(item.id),
            said(item.imaging_mode),
            position(item.point_of_interest),
            f"{item.acquisition_window.start:%Y-%m-%d %H:%M} UTC",
            said(item.reference or ""),
        ]
        for item in listed[:MOST]
    ]
    heads = ["status", "task", "mode", "point of interest", "window opens", "reference"]
    return beside(
        table(heads, rows, total=len(listed)),
        _map((_spot(item) for item in listed[:MOST]), "points of interest", "tasks", len(listed)),
    )


def _map(geometries: "Iterable[object]", what: str, of: str, total: int) -> str:
    """Of as many as the table has."""
    drawn = ground(*geometries, title=f"{what} of the {of}")
    return drawn + faint(f"<div>the first {MOST} of {total:,}</div>") if drawn and total > MOST else drawn


def derivative(shown: "Derivative") -> str:
    """One derivative, as a row of the table that a set of them is."""
    return card(f"1 derivative {_of_tasks([shown])}", _derivatives([shown], frozenset()))


def derivatives(shown: "DerivativeSet") -> str:
    """A table of the derivatives of a task: which there are, of which image, and whether their files are there."""
    final = mark("✓", GREEN, "final") if shown.final else mark("○", AMBER, "not final")
    return card(
        f"{_counted(len(shown), 'derivative')} {_of_tasks(shown)} &nbsp;{final}", _derivatives(shown, frozenset())
    )


def update(shown: "DerivativeUpdate") -> str:
    """One step of a wait: what is there, what is new, and what is missing."""
    return card(
        f"{_counted(len(shown), 'derivative')} {_of_tasks(shown)}",
        _ready_and_missing(shown.ready, shown.missing, complete=shown.complete),
        _derivatives(shown, frozenset(entry.id for entry in shown.fresh)),
    )


def _derivatives(listed: "Iterable[Derivative]", fresh: frozenset[str]) -> str:
    entries = list(listed)
    images = [entry.image_reference or entry.image_id or "" for entry in entries]
    heads = ["type", "derivative", *(["image"] if any(images) else []), "files", ""]
    rows = []
    for entry, image in zip(entries[:MOST], images, strict=False):
        state = mark("✓", GREEN, "ready") if entry.assets else mark("○", AMBER, "being made")
        if entry.id in fresh:
            state = mark("●", BLUE, "new")
        files = said(", ".join(asset.type or "file" for asset in entry.assets))
        rows.append([said(entry.type), code(entry.id), *([code(image)] if any(images) else []), files, state])
    return table(heads, rows, total=len(entries))


def task(shown: "Task") -> str:
    """A task: its status, what was ordered, its times, and its point of interest."""
    told = [
        ("mode", said(shown.imaging_mode)),
        ("point of interest", position(shown.point_of_interest)),
        ("window", _window(shown.acquisition_window)),
        ("products", said(", ".join(shown.product_types or ()))),
        ("derivatives", said(", ".join(shown.derivative_product_types or ()))),
        ("incidence", _angles(shown.incidence_angle)),
        ("look", _joined(said(shown.look_side or ""), said(shown.pass_direction or ""))),
        ("imaging", "" if shown.imaging_duration is None else f"{shown.imaging_duration:,} s"),
        ("terms", _joined(*(said(word or "") for word in (shown.priority, shown.exclusivity, shown.sla, shown.eula)))),
        ("reference", said(shown.reference or "")),
        ("contract", code(shown.contract_id)),
        ("created", _time(shown.created_at)),
        ("updated", _time(shown.updated_at)),
        ("fulfilled", _time(shown.fulfilled_at)),
    ]
    return card(
        f"<b>task</b> {code(shown.id)} &nbsp;{status(shown.status)}",
        beside(facts(told), ground(_spot(shown), title=f"point of interest of task {said(shown.id)}")),
    )


def _spot(task: "Task") -> dict[str, object]:
    lat, lon = task.point_of_interest
    return {"type": "Point", "coordinates": [lon, lat]}


def status(name: str) -> str:
    """The status of a task, with its sign."""
    sign, colour = _SIGNS.get(name, ("○", AMBER))
    return mark(sign, colour, said(name))


def position(spot: "Position") -> str:
    """Latitude and longitude in degrees."""
    lat, lon = spot
    return f"{abs(lat):.5f}° {'S' if lat < 0 else 'N'}, {abs(lon):.5f}° {'W' if lon < 0 else 'E'}"


# --- words -----------------------------------------------------------------------------------------------------------


def _counted(count: int, what: str) -> str:
    return f"<b>{count:,} {what}{'' if count == 1 else 's'}</b>"


def _of_tasks(items: "Iterable[Product | Derivative]") -> str:
    tasks = list(dict.fromkeys(item.task_id for item in items))
    if not tasks:
        return ""
    return faint("of task ") + code(tasks[0]) if len(tasks) == 1 else faint(f"of {len(tasks):,} tasks")


def _ready_and_missing(ready: Iterable[str], missing: Iterable[str], *, complete: bool) -> str:
    """Which types are there; `complete` where nothing more is waited for."""
    there = [mark("✓", GREEN, said(kind)) for kind in sorted(ready)]
    left = [mark("○", AMBER, said(kind)) for kind in sorted(missing)]
    told = " &nbsp; ".join([*there, *left][:MOST])
    return f'<div style="margin:2px 0">{told}{faint(" &nbsp; complete") if complete else ""}</div>'


def _time(moment: datetime | None) -> str:
    return "" if moment is None else f"{moment:%Y-%m-%d %H:%M:%S} UTC"


def _span(times: "Interval | None") -> str:
    if times is None:
        return ""
    return _joined(_time(times.start), f"{(times.end - times.start).total_seconds():.1f} s")


def _window(times: "Interval") -> str:
    length = duration((times.end - times.start).total_seconds())
    return f"{times.start:%Y-%m-%d %H:%M} to {times.end:%Y-%m-%d %H:%M} UTC {faint(f'({length})')}"


def _angles(angles: "AngleRange | None") -> str:
    return "" if angles is None else f"{angles.min:g}° to {angles.max:g}°"


def _amount(value: float | None, unit: str, places: int = 2) -> str:
    return "" if value is None else f"{_number(value, places)}{unit}"


def _near_to_far(near: float | None, center: float | None, far: float | None, unit: str, places: int = 2) -> str:
    """The middle, and the two edges behind it."""
    edges = [_number(value, places) for value in (near, far) if value is not None]
    if center is None:
        return f"{' to '.join(edges)}{unit}" if edges else ""
    told = f"{_number(center, places)}{unit}"
    return f"{told} {faint(f'({edges[0]} near, {edges[1]} far)')}" if len(edges) == 2 else told


def _number(value: float, places: int) -> str:
    return f"{value:.{places}f}".rstrip("0").rstrip(".") if places else f"{value:.0f}"


def _joined(*words: str) -> str:
    return ", ".join(word for word in words if word)
