"""What can be asked, as values. A request knows which statuses are answers to it and whether it may be repeated.

Paths and queries are as the API pages on tasks, their products, derivatives and scenes, on prices, feasibility and
contracts have them; they are percent-encoded here, so that they can be sent as they stand.
"""

from collections.abc import Iterable, Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any
from urllib.parse import quote

from attrs import field, frozen

from ..errors import ApiError, NotFound, TaskNotFound, UsageError
from ..models import TaskStatus
from . import wire
from .ordering import TaskRequest, moment, position, text

_TASKS = "/api/tasking/v2/tasks"
_PRICE = "/api/tasking/v2/price"
_FEASIBILITY = "/api/tasking/v2/feasibility"
_CONTRACTS = "/api/company/v1/contracts"
_TASKS_A_PAGE = 50
"""As ICEYE's own clients ask; the default is 10, and the maximum is not published."""
_OK = frozenset({200})
_OK_OR_NOT = frozenset({200, 404})
_LISTED = frozenset({200, 206})
_LISTED_OR_NOT = frozenset({200, 206, 404})


@frozen
class Request:
    """One request to the API. `path` starts at the root of the API's origin and holds the query."""

    method: str
    path: str
    answers: frozenset[int] = field(default=_OK, kw_only=True)
    body: Mapping[str, Any] | list[Mapping[str, Any]] | None = field(default=None, kw_only=True, repr=False)
    repeatable: bool = field(default=True, kw_only=True)
    """Whether sending it twice does no more than sending it once."""
    absent: type[ApiError] = field(default=NotFound, kw_only=True)
    """What a 404 means, where it is no answer."""
    slow: bool = field(default=False, kw_only=True)
    """Whether two minutes are no sign that it failed. ICEYE's own demo gives it that long."""


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
    """One page, to which a 404 is an error."""
    return _products(task_id, product_type, cursor, _OK)


def look_for_products(task_id: str, product_type: str | None, cursor: str | None) -> Request:
    """One page, for a wait, to which a 404 is an answer."""
    return _products(task_id, product_type, cursor, _OK_OR_NOT)


def _products(task_id: str, product_type: str | None, cursor: str | None, answers: frozenset[int]) -> Request:
    tail = "/products" if product_type is None else f"/products/{_segment(product_type, 'a product type')}"
    # The page shows no `limit` for products, and the cursor as the only parameter.
    return Request("GET", _task(task_id, tail) + _query({"cursor": cursor}), answers=answers)


def create_task(order: TaskRequest) -> Request:
    # No idempotency key is documented, so a create that is sent twice may book two pictures.
    return Request("POST", _TASKS, answers=frozenset({200, 201}), body=wire.order(order), repeatable=False)


def cancel_task(task_id: str) -> Request:
    # It may be charged for, and the second of two would be refused: the task is not RECEIVED or ACTIVE any more.
    return Request("PATCH", _task(task_id), body={"status": TaskStatus.CANCELED}, repeatable=False, absent=TaskNotFound)


def list_tasks(
    contract_id: str | None = None,
    created_after: datetime | None = None,
    created_before: datetime | None = None,
    cursor: str | None = None,
) -> Request:
    """One page. The filters go with each cursor, as in ICEYE's own demo; no page says whether they must."""
    after = None if created_after is None else moment(created_after, "created_after")
    before = None if created_before is None else moment(created_before, "created_before")
    if after is not None and before is not None and after >= before:
        raise UsageError("created_after is not before created_before, so no task can be between them")
    query = {
        "contractID": None if contract_id is None else text(contract_id, "contract_id"),
        "createdAfter": None if after is None else wire.timestamp(after),
        "createdBefore": None if before is None else wire.timestamp(before),
        "limit": _TASKS_A_PAGE,
        "cursor": cursor,
    }
    return Request("GET", _TASKS + _query(query))


def get_scene(task_id: str) -> Request:
    return Request("GET", _task(task_id, "/scene"))


def get_price(
    *,
    contract_id: str,
    imaging_mode: str,
    point_of_interest: tuple[float, float],
    exclusivity: str | None = None,
    priority: str | None = None,
    sla: str | None = None,
    eula: str | None = None,
) -> Request:
    lat, lon = position(point_of_interest, "point_of_interest")
    chosen = {"exclusivity": exclusivity, "priority": priority, "sla": sla, "eula": eula}
    query = {
        "contractID": text(contract_id, "contract_id"),
        "imagingMode": text(imaging_mode, "imaging_mode"),
        "pointOfInterest[lat]": _degrees(lat),
        "pointOfInterest[lon]": _degrees(lon),
        **{name: None if given is None else text(given, name) for name, given in chosen.items()},
    }
    return Request("GET", _PRICE + _query(query))


def check_feasibility(orders: Iterable[TaskRequest]) -> Request:
    """It books nothing, so it may be repeated; and it takes its time."""
    if not isinstance(orders, Iterable | TaskRequest):
        raise UsageError(f"feasibility takes TaskRequests, not {type(orders).__name__}")
    found = (orders,) if isinstance(orders, TaskRequest) else tuple(orders)
    if not found:
        raise UsageError("feasibility takes TaskRequests, at least one")
    for order in found:
        if not isinstance(order, TaskRequest):
            raise UsageError(f"feasibility takes TaskRequests, and there is a {type(order).__name__} among them")
    return Request("POST", _FEASIBILITY, body=[wire.order(order) for order in found], slow=True)


def list_contracts(cursor: str | None = None) -> Request:
    return Request("GET", _CONTRACTS + _query({"cursor": cursor}))


def get_contract(contract_id: str) -> Request:
    return Request("GET", f"{_CONTRACTS}/{_segment(contract_id, 'a contract id')}")


def checked_id(given: object) -> str:
    """The id of a task, where it can be one. Raises `UsageError`."""
    _task(given)
    return str(given)


def _degrees(given: float) -> str:
    """Without an exponent, to a tenth of a millimetre."""
    return f"{given:.9f}".rstrip("0").rstrip(".")


def _query(parameters: Mapping[str, object]) -> str:
    parts = [
        f"{quote(name, safe='')}={quote(str(value), safe='')}"
        for name, value in parameters.items()
        if value is not None
    ]
    return f"?{'&'.join(parts)}" if parts else ""


def _task(task_id: object, tail: str = "") -> str:
    return f"{_TASKS}/{_segment(task_id, 'a task id')}{tail}"


def _segment(given: Any, name: str) -> str:
    if isinstance(given, str) and len(given) <= 100 and given.isascii() and given.replace("-", "").isalnum():
        # As all ids are that anybody has seen; a batch asks for thousands of them, over and over.
        return given
    if not isinstance(given, str):
        hint = ", its .id would be one" if hasattr(given, "id") else ""
        raise UsageError(f"{name} is a string, not {type(given).__name__}{hint}")
    # Servers and proxies resolve dot segments even when percent-encoded, so these would be another path.
    if not given.strip() or given in {".", ".."} or len(given) > 512:
        raise UsageError(f"{given[:40]!r} cannot be {name}")
    try:
        return quote(given, safe="")
    except UnicodeEncodeError:
        raise UsageError(f"{given[:40]!r} cannot be {name}") from None
