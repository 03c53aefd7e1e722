"""A task: an order for one radar picture. Source: the API pages "Create a task", "Get a task", "Cancel a task"."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any, NamedTuple

from attrs import field, frozen

from ..protocol.links import mask_text, mask_within
from .enums import DerivativeType, ImagingMode, ProductType, TaskStatus
from .masking import masked


class Position(NamedTuple):
    """A point on the ground, in WGS 84 degrees. Latitude first, as the service has it; GeoJSON is the other way."""

    lat: float
    lon: float


class Interval(NamedTuple):
    """A span of time; both ends are aware and in UTC."""

    start: datetime
    end: datetime


class AngleRange(NamedTuple):
    """Degrees from the vertical."""

    min: float
    max: float


_FACTS = (
    "contract_id",
    "status",
    "imaging_mode",
    "reference",
    "created_at",
    "updated_at",
    "fulfilled_at",
    "product_types",
    "derivative_product_types",
    "exclusivity",
    "priority",
    "sla",
    "eula",
    "incidence_angle",
    "look_side",
    "pass_direction",
    "imaging_duration",
    "products_available_in_seconds",
)
"""Of a task on a map. Where it is delivered to and who is told of it are no facts of a place."""


@frozen(kw_only=True, field_transformer=masked)
class Task:
    """A task as the service last told it.

    The first eight attributes are on every documented answer; of the others any may be None, which means that
    the answer did not carry them, not that they are unset. `document` is the JSON as received.
    """

    id: str
    contract_id: str
    status: TaskStatus | str
    imaging_mode: ImagingMode | str
    point_of_interest: Position
    acquisition_window: Interval
    created_at: datetime
    updated_at: datetime
    fulfilled_at: datetime | None = None
    reference: str | None = None
    product_types: tuple[ProductType | str, ...] | None = None
    """The product types asked for."""
    derivative_product_types: tuple[DerivativeType | str, ...] | None = None
    """The derivative types asked for. Whether the service echoes them is not documented: None proves nothing."""
    exclusivity: str | None = None
    priority: str | None = None
    sla: str | None = None
    eula: str | None = None
    incidence_angle: AngleRange | None = None
    look_side: str | None = None
    pass_direction: str | None = None
    imaging_duration: int | None = None
    """Seconds."""
    products_available_in_seconds: int | None = None
    """Seconds from imaging to the standard products."""
    notifications: Mapping[str, Any] | None = field(default=None, hash=False)
    """As sent: `{"webhook": {"id": ...}}`. Not on the items of a list."""
    deliveries: tuple[Mapping[str, Any], ...] | None = field(default=None, hash=False)
    """As sent, each with `locations` and `status`. Not on the items of a list."""
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)

    @property
    def __geo_interface__(self) -> dict[str, Any]:
        """The point of interest as a GeoJSON feature, with what was ordered and the status; without links.

        Times are text, in UTC; of the acquisition window `window_start` and `window_end`. What is None is left out.
        """
        facts = {name: getattr(self, name) for name in _FACTS}
        facts |= {"window_start": self.acquisition_window.start, "window_end": self.acquisition_window.end}
        return {
            "type": "Feature",
            "id": mask_text(self.id),
            "geometry": {"type": "Point", "coordinates": [self.point_of_interest.lon, self.point_of_interest.lat]},
            "properties": {name: _plain(fact) for name, fact in facts.items() if fact is not None},
        }

    def _repr_html_(self) -> str:
        from ..display import cards

        return cards.task(self)


def _plain(fact: Any) -> Any:
    """The fact as JSON has it."""
    if isinstance(fact, datetime):
        return fact.isoformat().replace("+00:00", "Z")
    return mask_within(fact._asdict() if isinstance(fact, AngleRange) else fact)
