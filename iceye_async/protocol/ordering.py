"""What is ordered: a task as a value, refused where it can never be, doubted where the sources contradict each other.

Sources: the API page "Create a task" for the fields, "Task derivatives" for what derivatives need, "Task products"
for the types that are phased out. Nothing here is judged by the clock: the service holds an acquisition window
against its own.
"""

import json
import sys
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from datetime import UTC, datetime, timedelta
from typing import Any

from attrs import field, frozen

from ..errors import UsageError
from ..models import AngleRange, DerivativeType, ImagingMode, Interval, Position, ProductType
from ..models.offer import OFFERED, SUCCESSOR, SUPPORTED_MODES, UNSUPPORTED_MODES
from .checks import whole

_DOCUMENTED = frozenset[str]([*ImagingMode, *ProductType, *DerivativeType])
_LONGEST_REFERENCE = 256
_ANGLES = (10, 45)
_LONGEST_IMAGING = 180

_PACKAGE = __name__.partition(".")[0]


def words(given: Iterable[str], name: str, such_as: str = "'DC_VESSELS' or 'GRD'") -> tuple[str, ...]:
    """The strings of a collection, each once, in order. A bare string is one of them."""
    if not isinstance(given, Iterable):
        raise UsageError(f"{name} is a string, or a collection of strings, not {type(given).__name__}")
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found:
        raise UsageError(f"{name} is empty; leave it out instead")
    for word in found:
        if not isinstance(word, str) or not word.strip():
            raise UsageError(f"{name} holds {word!r}; each is a string such as {such_as}")
    return tuple(dict.fromkeys(text(word, name) for word in found))


def text(given: str, name: str) -> str:
    """A string that says something."""
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{name} is a string that is not empty, not {given!r}")
    try:
        given.encode()
    except UnicodeEncodeError:
        raise UsageError(f"{name} holds half a character (a lone surrogate): {given!r}") from None
    return str(given)


def position(point: tuple[float, float], name: str) -> Position:
    lat, lon = _pair(point, name, "(lat, lon) in degrees")
    for degrees in (lat, lon):
        if not isinstance(degrees, int | float) or isinstance(degrees, bool):
            raise UsageError(f"{name} is (lat, lon) in degrees; {degrees!r} is no number")
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise UsageError(f"{name} is (lat, lon) in degrees; ({lat}, {lon}) is not on the globe")
    return Position(lat, lon)


def moment(given: datetime, name: str) -> datetime:
    """An aware time, in UTC."""
    if not isinstance(given, datetime):
        raise UsageError(f"{name} holds {given!r}, which is no datetime")
    if given.utcoffset() is None:
        raise UsageError(f"{name} holds a time without a zone; use datetime.now(UTC) or give tzinfo=")
    try:
        return given.astimezone(UTC)
    except OverflowError:
        raise UsageError(f"{name} holds {given!r}, which does not exist in UTC") from None


def _window(window: tuple[datetime, datetime], name: str) -> Interval:
    start, end = (moment(given, name) for given in _pair(window, name, "(start, end), two aware datetimes"))
    if start >= end:
        raise UsageError(f"{name} ends before it has begun; give (start, end)")
    return Interval(start, end)


def _angles(given: tuple[float, float], name: str) -> AngleRange:
    what = "(min, max), two whole numbers of degrees from the vertical, 0 to 90"
    least, most = _pair(given, name, what)
    for degrees in (least, most):
        if not isinstance(degrees, int | float) or isinstance(degrees, bool) or degrees != degrees // 1:
            raise UsageError(f"{name} is {what}; {degrees!r} is none")
    if not 0 <= least <= most <= 90:
        raise UsageError(f"{name} is {what}, the smaller first; ({least}, {most}) is no such range")
    return AngleRange(int(least), int(most))


def _pair(given: Any, name: str, what: str) -> tuple[Any, Any]:
    unordered = isinstance(given, str | Mapping | AbstractSet) or not isinstance(given, Iterable)
    if unordered or len(pair := tuple(given)) != 2:
        raise UsageError(f"{name} is {what}, not {given!r}")
    return pair


def _seconds(given: int, name: str) -> int:
    whole(given, name, least=1)
    return given


def _reference(given: str, name: str) -> str:
    if len(text(given, name)) > _LONGEST_REFERENCE:
        raise UsageError(f"{name} has {len(given)} characters, and the service takes {_LONGEST_REFERENCE}")
    return str(given)


def _object(given: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    if not isinstance(given, Mapping):
        raise UsageError(f'{name} is a dict in the service\'s own form, such as {{"webhook": {{"id": ...}}}}')
    return _copied(dict(given), name)


def _objects(given: Iterable[Mapping[str, Any]], name: str) -> tuple[Mapping[str, Any], ...]:
    found = () if isinstance(given, str | Mapping) or not isinstance(given, Iterable) else tuple(given)
    if not found or not all(isinstance(each, Mapping) for each in found):
        raise UsageError(f'{name} is a list of dicts in the service\'s own form, such as [{{"locations": [...]}}]')
    return tuple(_copied(dict(each), name) for each in found)


def _copied(given: dict[str, Any], name: str) -> dict[str, Any]:
    """What would be sent: later changes of what the caller gave do not reach it."""
    try:
        copy: dict[str, Any] = json.loads(json.dumps(given, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise UsageError(f"{name} cannot be sent as JSON: {error}") from None
    return copy


_CHECKS: Mapping[str, Callable[[Any, str], Any]] = {
    "contract_id": text,
    "imaging_mode": text,
    "point_of_interest": position,
    "acquisition_window": _window,
    "product_types": words,
    "derivative_product_types": words,
    "reference": _reference,
    "exclusivity": text,
    "priority": text,
    "sla": text,
    "incidence_angle": _angles,
    "look_side": text,
    "pass_direction": text,
    "imaging_duration": _seconds,
    "eula": text,
    "notifications": _object,
    "deliveries": _objects,
}
_REQUIRED = frozenset({"contract_id", "imaging_mode", "point_of_interest", "acquisition_window"})


@frozen(kw_only=True)
class TaskRequest:
    """One radar picture to be ordered: what `client.tasks.create()` takes, as a value for `client.tasks.feasibility()`.

    `contract_id` is one of `client.contracts.list()`; `imaging_mode` one that this contract allows.
    `point_of_interest` is (latitude, longitude) in WGS 84 degrees. `acquisition_window` is (start, end), two aware
    datetimes; the service wants the start 12 h ahead (24 h in BACKGROUND priority) and the end within 14 days.

    `product_types` picks what is made of the picture; where it is left out, what the contract has. Non-SLA types (SICD
    and SIDD among them) come only if they are listed here. `derivative_product_types` are the detections to run on it;
    they can be asked for only now, only with SPOTLIGHT, SPOTLIGHT_FINE, SPOTLIGHT_FINE_1L, SPOTLIGHT_EXTENDED_DWELL or
    SPOTLIGHT_EXTENDED_DWELL_FINE, and only with `"GRD"` among `product_types`.

    `reference` is yours, up to 256 characters. `exclusivity` (PRIVATE, PUBLIC), `priority` (BACKGROUND, COMMERCIAL),
    `sla` (such as SLA_8H) and `eula` (STANDARD, GOVERNMENT) are the contract's where they are left out.
    `incidence_angle` is (min, max) in whole degrees from the vertical, `look_side` LEFT, RIGHT or ANY,
    `pass_direction` ASCENDING, DESCENDING or ANY, `imaging_duration` whole seconds. `notifications` (`{"webhook":
    {"id": ...}}`) and `deliveries` (`[{"locations": [{"configID": ..., "path": ...}]}]`) are sent as they are.

    Raises `UsageError` for what can never be. Warns (`UserWarning`) of what the sources contest: a window shorter than
    24 h, angles outside 10 to 45 degrees, an imaging of more than 180 s, a product type that the documented table
    does not have for the mode; and (`FutureWarning`) of product types that are phased out over 2026/27, but not of
    GRD where derivatives need it.

    Source: the API pages "Create a task", "Task derivatives" and "Task products".
    """

    contract_id: str
    imaging_mode: ImagingMode | str
    point_of_interest: tuple[float, float]
    acquisition_window: tuple[datetime, datetime]
    product_types: Iterable[ProductType | str] | None = None
    derivative_product_types: Iterable[DerivativeType | str] | None = None
    reference: str | None = None
    exclusivity: str | None = None
    priority: str | None = None
    sla: str | None = None
    incidence_angle: tuple[int, int] | None = None
    look_side: str | None = None
    pass_direction: str | None = None
    imaging_duration: int | None = None
    eula: str | None = None
    notifications: Mapping[str, Any] | None = field(default=None, hash=False)
    deliveries: Iterable[Mapping[str, Any]] | None = field(default=None, hash=False)

    def __attrs_post_init__(self) -> None:
        for name, check in _CHECKS.items():
            given = getattr(self, name)
            if given is not None or name in _REQUIRED:
                object.__setattr__(self, name, check(given, name))
        _refuse_impossible_derivatives(self)
        for category, doubt in _doubts(self):
            warnings.warn(doubt, category, stacklevel=_outside())


def _refuse_impossible_derivatives(order: TaskRequest) -> None:
    """What the API page "Task derivatives" rules out. A mode that no page knows may be a new one."""
    if order.derivative_product_types is None:
        return
    if order.imaging_mode in UNSUPPORTED_MODES:
        raise UsageError(
            f"imaging_mode {order.imaging_mode} does not support derivatives; those that do are "
            f"{', '.join(sorted(SUPPORTED_MODES))}"
        )
    if ProductType.GRD not in (order.product_types or ()):
        raise UsageError(
            "derivative_product_types need 'GRD' among product_types, listed explicitly: derivatives are made from it "
            "(GRD-COG is another type)"
        )


def _doubts(order: TaskRequest) -> Iterator[tuple[type[Warning], str]]:
    """What is sent all the same, for it is not certain to be wrong."""
    start, end = order.acquisition_window
    if end - start < timedelta(hours=24):
        yield (
            UserWarning,
            "acquisition_window is shorter than the 24 h that the API page asks for (its own sample has 2 h)",
        )
    if (
        order.incidence_angle is not None
        and not _ANGLES[0] <= order.incidence_angle[0] <= order.incidence_angle[1] <= _ANGLES[1]
    ):
        yield (
            UserWarning,
            f"incidence_angle is outside {_ANGLES[0]} to {_ANGLES[1]} degrees; sources differ on what is allowed",
        )
    if order.imaging_duration is not None and order.imaging_duration > _LONGEST_IMAGING:
        yield UserWarning, f"imaging_duration is above {_LONGEST_IMAGING} s, the most that is known to be allowed"
    types = tuple(order.product_types or ())
    for word in (order.imaging_mode, *types, *(order.derivative_product_types or ())):
        if word not in _DOCUMENTED and word.upper() in _DOCUMENTED:
            yield UserWarning, f"{word!r} is sent as it is; the documented spelling is {word.upper()!r}"
    offered = OFFERED.get(order.imaging_mode)
    for kind in types:
        if offered is not None and kind in frozenset(ProductType) - offered:
            yield UserWarning, f"no {kind} is known for imaging_mode {order.imaging_mode}"
        if kind in SUCCESSOR and (kind != ProductType.GRD or order.derivative_product_types is None):
            yield FutureWarning, f"product type {kind} is phased out over 2026/27; {SUCCESSOR[kind]} comes in its place"


def _outside() -> int:
    """How many frames above the one that asks the caller is who is not of this package, nor of attrs."""
    level, frame = 1, sys._getframe(1)  # noqa: SLF001 - documented, and the only way below Python 3.12
    while frame.f_back is not None and _is_ours(frame.f_globals.get("__name__", ""), frame.f_code.co_filename):
        level, frame = level + 1, frame.f_back
    return level


def _is_ours(module: str, file: str) -> bool:
    return module.partition(".")[0] in {_PACKAGE, "attr"} or file.startswith("<attrs generated")
