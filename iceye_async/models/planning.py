"""What the service says of a picture before there is one: whether it can be taken, what it costs, when it is planned.

Sources: the API pages "Check feasibility", "Pricing model" and "Get task scene"; of these only parts are public, so
nearly everything may be None, and `document` is the JSON as received.
"""

from collections.abc import Mapping
from typing import Any

from attrs import field, frozen

from .masking import masked
from .task import Interval


@frozen(kw_only=True, field_transformer=masked)
class Scene:
    """How a task's picture is planned (while it is ACTIVE, and the plan may change), or was taken (FULFILLED, DONE)."""

    task_id: str
    imaging_time: Interval | None = None
    """When the radar looks."""
    duration: float | None = None
    """Seconds."""
    look_side: str | None = None
    pass_direction: str | None = None
    incidence_angle: float | None = None
    """Degrees from the vertical. The service sends it as text; None where that is no number."""
    azimuth: float | None = None
    """As the service has it, in degrees: ICEYE's own demo reads it, no page documents it."""
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)


@frozen(kw_only=True, field_transformer=masked)
class Price:
    """What a task would cost. Whether `amount` is in minor units (cents) is not documented for this call."""

    amount: int
    currency: str
    """As the service has it; elsewhere it uses ISO 4217 codes."""
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)


@frozen(kw_only=True, field_transformer=masked)
class Feasibility:
    """Whether a task could be carried out. The one `result` that is known is FEASIBLE; others come as they are."""

    result: str
    document: Mapping[str, Any] = field(factory=dict, eq=False, repr=False)
