"""What a task request must hold to be taken. Sources: the API pages "Create a task" and "Task derivatives".

Three rules are not kept: a start that is not in the past, the 12 or 24 hours of notice before it, and the 24 hours that
a window has at least (the page's own sample has two). With them, nothing would happen in a sandbox for half a day.
"""

from collections.abc import Callable, Collection, Mapping
from datetime import datetime, timedelta
from typing import Any

from . import documents
from .contracts import MODES, TERMS
from .refusals import Refused, bad

Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is good, and in words what it must be."""

_LATEST = timedelta(days=14)
_PRODUCT_TYPES = ("GRD", "GRD-COG", "SLC", "SLC-COG", "QLK", "SICD", "SIDD", "CSI", "CSI-COG", "VID", "VID-COG")


def check(body: Any, contract_id: str, now: datetime, more: Collection[str] = ()) -> None:
    """Refuse what is not a good task request. `more` are derivative types beside the documented ones."""
    _check_names(body)
    check_contract(body["contractID"], contract_id)
    for name, value in body.items():
        check_value(name, value)
    _check_time(body["acquisitionWindow"], now)
    _check_derivatives(body, more)


def check_contract(given: Any, contract_id: str) -> None:
    if given != contract_id:
        raise Refused(403, "forbidden", "no such contract")


def check_value(name: str, value: Any) -> None:
    good, words = _RULES[name]
    if not good(value):
        raise bad(f"{name} must be {words}")


def _check_names(body: Any) -> None:
    if not isinstance(body, dict):
        raise bad("a task request is an object")
    missing = [name for name in _REQUIRED if name not in body]
    if missing:
        raise bad(f"missing {', '.join(missing)}")
    unknown = sorted(set(body) - set(_RULES))
    if unknown:
        # The specification: `additionalProperties: false`.
        raise bad(f"unknown {', '.join(unknown)}")


def _check_time(window: Mapping[str, str], now: datetime) -> None:
    end = documents.moment(window["end"])
    if not now <= end <= now + _LATEST:
        raise bad("acquisitionWindow must end in the next 14 days")


def _check_derivatives(body: Mapping[str, Any], more: Collection[str]) -> None:
    wanted = body.get("derivativeProductTypes", [])
    unknown = sorted(set(wanted) - documents.DERIVATIVE_TYPES - set(more))
    if unknown:
        raise bad(f"unknown derivative types {', '.join(unknown)}")
    if wanted and body["imagingMode"] not in documents.SUPPORTED_MODES:
        details = f"{body['imagingMode']} does not support derivatives"
        raise Refused(400, "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES", details)
    if wanted and "GRD" not in body.get("productTypes", ()):
        raise bad("derivatives need GRD in productTypes")


# --- values ------------------------------------------------------------------------------------------------------


def _text(value: Any, most: int | None = None) -> bool:
    return isinstance(value, str) and (most is None or len(value) <= most)


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: Any, least: float, most: float) -> bool:
    return type(value) in {int, float} and least <= value <= most


def _position(value: Any) -> bool:
    return isinstance(value, dict) and _number(value.get("lat"), -90, 90) and _number(value.get("lon"), -180, 180)


def _window(value: Any) -> bool:
    try:
        return documents.moment(value["start"]) < documents.moment(value["end"])
    except (KeyError, TypeError, ValueError):
        return False


def _angles(value: Any) -> bool:
    return (
        isinstance(value, dict)
        and set(value) == {"min", "max"}
        and all(_whole(angle, 10, 45) for angle in value.values())
        and value["min"] <= value["max"]
    )


def _webhook(value: Any) -> bool:
    return isinstance(value, dict) and isinstance(value.get("webhook"), dict) and _text(value["webhook"].get("id"))


def _deliveries(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(entry, dict) and _places(entry.get("locations")) for entry in value
    )


def _places(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(place, dict)
        and {"configID", "path"} <= set(place) <= {"configID", "path", "subPath"}
        and all(map(_text, place.values()))
        for place in value
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _one_of(*names: str) -> Rule:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}"


def _some_of(*names: str) -> Rule:
    return lambda value: _texts(value) and set(value) <= set(names), f"an array of {', '.join(names)}"


_REQUIRED: Mapping[str, Rule] = {
    "contractID": (_text, "a string"),
    "imagingMode": _one_of(*MODES),
    "pointOfInterest": (_position, "lat in -90..90 and lon in -180..180"),
    "acquisitionWindow": (_window, "start and end as RFC 3339 times, the end after the start"),
}
_RULES: Mapping[str, Rule] = {
    **_REQUIRED,
    "reference": (lambda value: _text(value, 256), "a string of at most 256 characters"),
    "exclusivity": _one_of(*TERMS["exclusivity"]),
    "priority": _one_of(*TERMS["priority"]),
    "sla": _one_of(*TERMS["sla"]),
    "incidenceAngle": (_angles, "min and max, whole numbers in 10..45"),
    "lookSide": _one_of("LEFT", "RIGHT", "ANY"),
    "passDirection": _one_of("ASCENDING", "DESCENDING", "ANY"),
    "imagingDuration": (lambda value: _whole(value, 1, 180), "whole seconds in 1..180"),
    "productTypes": _some_of(*_PRODUCT_TYPES),
    "derivativeProductTypes": (_texts, "an array of strings"),
    "eula": _one_of(*TERMS["eula"]),
    "notifications": (_webhook, "a webhook with an id"),
    "deliveries": (_deliveries, "an array of objects with locations, each with configID and path"),
}
