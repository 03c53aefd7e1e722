"""What can be asked, as values. A request knows which statuses are answers to it and whether it may be repeated.

Paths, queries and bodies are as the API pages "Task products", "Task derivatives", "Create a task" and "Get a task"
have them; they are percent-encoded here, so that they can be sent as they stand.
"""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from ..errors import ApiError, NotFound, TaskNotFound, UsageError

_TASKS = "/api/tasking/v2/tasks"
_OK = frozenset({200})
_LISTED = frozenset({200, 206})
_LISTED_OR_NOT = frozenset({200, 206, 404})


@frozen
class Request:
    """One request to the API. `path` starts at the root of the API's origin and holds the query."""

    method: str
    path: str
    answers: frozenset[int] = field(default=_OK, kw_only=True)
    body: Mapping[str, Any] | None = field(default=None, kw_only=True, repr=False)
    repeatable: bool = field(default=True, kw_only=True)
    """Whether sending it twice does no more than sending it once."""
    absent: type[ApiError] = field(default=NotFound, kw_only=True)
    """What a 404 means, where it is no answer."""


def get_task(task_id: str) -> Request:
    return Request("GET", _task(task_id), absent=TaskNotFound)


def get_derivatives(task_id: str) -> Request:
    """One look, to which a 404 is an error."""
    return _one_look(task_id) if isinstance(task_id, str) else _derivatives(task_id, _LISTED)


def look_for_derivatives(task_id: str) -> Request:
    """A look of a wait, to which a 404 is an answer."""
    return _derivatives(task_id, _LISTED_OR_NOT)


# The same tasks are asked over and over, and making a request costs a tenth of reading its reply.
@lru_cache(maxsize=2048)
def _one_look(task_id: str) -> Request:
    return _derivatives(task_id, _LISTED)


def _derivatives(task_id: str, answers: frozenset[int]) -> Request:
    return Request("GET", _task(task_id, "/derivatives"), answers=answers)


def list_products(task_id: str, product_type: str | None = None, cursor: str | None = None) -> Request:
    tail = "/products" if product_type is None else f"/products/{_segment(product_type, 'a product type')}"
    # The page shows no `limit` for products, and the cursor as the only parameter.
    query = "" if cursor is None else f"?cursor={quote(cursor, safe='')}"
    return Request("GET", _task(task_id, tail) + query)


def create_task(
    *,
    contract_id: str,
    imaging_mode: str,
    point_of_interest: tuple[float, float],
    acquisition_window: tuple[datetime, datetime],
    product_types: Iterable[str] | None,
    derivative_product_types: Iterable[str] | None,
    reference: str | None,
) -> Request:
    types, derivatives = product_types, derivative_product_types
    body = {
        "contractID": _text(contract_id, "contract_id"),
        "imagingMode": _text(imaging_mode, "imaging_mode"),
        "pointOfInterest": _position(point_of_interest),
        "acquisitionWindow": _window(acquisition_window),
        "productTypes": None if types is None else list(words(types, "product_types")),
        "derivativeProductTypes": None if derivatives is None else list(words(derivatives, "derivative_product_types")),
        "reference": None if reference is None else _text(reference, "reference"),
    }
    # No idempotency key is documented, so a create that is sent twice may book two pictures.
    return Request(
        "POST",
        _TASKS,
        answers=frozenset({200, 201}),
        body={key: value for key, value in body.items() if value is not None},
        repeatable=False,
    )


def words(given: Iterable[str], name: str) -> tuple[str, ...]:
    """The strings of a collection, each once, in order. A bare string is one of them."""
    if not isinstance(given, Iterable):
        raise UsageError(f"{name} is a string, or a collection of strings, not {type(given).__name__}")
    found = (given,) if isinstance(given, str) else tuple(given)
    if not found:
        raise UsageError(f"{name} is empty; leave it out instead")
    for word in found:
        if not isinstance(word, str) or not word.strip():
            raise UsageError(f"{name} holds {word!r}; each is a string such as 'DC_VESSELS' or 'GRD'")
    return tuple(dict.fromkeys(str(word) for word in found))


def _text(given: str, name: str) -> str:
    if not isinstance(given, str) or not given.strip():
        raise UsageError(f"{name} is a string that is not empty, not {given!r}")
    return str(given)


def _position(point: tuple[float, float]) -> dict[str, float]:
    lat, lon = _pair(point, "point_of_interest", "(lat, lon) in degrees")
    for degrees in (lat, lon):
        if not isinstance(degrees, int | float) or isinstance(degrees, bool):
            raise UsageError(f"point_of_interest is (lat, lon) in degrees; {degrees!r} is no number")
    if not (-90 <= lat <= 90 and -180 <= lon <= 180):
        raise UsageError(f"point_of_interest is (lat, lon) in degrees; ({lat}, {lon}) is not on the globe")
    return {"lat": lat, "lon": lon}


def _window(window: tuple[datetime, datetime]) -> dict[str, str]:
    start, end = _pair(window, "acquisition_window", "(start, end), two aware datetimes")
    times = {"start": _timestamp(start), "end": _timestamp(end)}
    if start >= end:
        raise UsageError("acquisition_window ends before it has begun; give (start, end)")
    return times


def _pair(given: Any, name: str, what: str) -> tuple[Any, Any]:
    if isinstance(given, str) or not isinstance(given, Iterable) or len(pair := tuple(given)) != 2:
        raise UsageError(f"{name} is {what}, not {given!r}")
    return pair


def _timestamp(moment: datetime) -> str:
    if not isinstance(moment, datetime):
        raise UsageError(f"acquisition_window holds {moment!r}, which is no datetime")
    if moment.utcoffset() is None:
        raise UsageError("acquisition_window holds a time without a zone; use datetime.now(UTC) or give tzinfo=")
    try:
        return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
    except OverflowError:
        raise UsageError(f"acquisition_window holds {moment!r}, which does not exist in UTC") from None


def _task(task_id: str, tail: str = "") -> str:
    return f"{_TASKS}/{_segment(task_id, 'a task id')}{tail}"


def _segment(text: Any, name: str) -> str:
    if not isinstance(text, str):
        hint = ", its .id would be one" if hasattr(text, "id") else ""
        raise UsageError(f"{name} is a string, not {type(text).__name__}{hint}")
    # Servers and proxies resolve dot segments even when percent-encoded, so these would be another path.
    if not text.strip() or text in {".", ".."} or len(text) > 512:
        raise UsageError(f"{text[:40]!r} cannot be {name}")
    try:
        return quote(text, safe="")
    except UnicodeEncodeError:
        raise UsageError(f"{text[:40]!r} cannot be {name}") from None
