"""What a task request must hold to be taken. Sources: the API pages "Create a task" and "Task derivatives".

Three rules are kept only where the scenario is strict: a start that is not in the past, the 12 or 24 hours of notice
before it, and the 24 hours that a window has at least (the page's own sample has two).
"""

import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Any

from . import documents
from .refusals import Refused, bad
from .terms import DERIVATIVES, MODES, PRODUCTS, TERMS, Contract
from .world import World

Rule = tuple[Callable[[Any], bool], str]
"""Whether a value is good, and in words what it must be."""

_LATEST = timedelta(days=14)
_SHORTEST = timedelta(hours=24)
_NOTICE = {"COMMERCIAL": timedelta(hours=12), "BACKGROUND": timedelta(hours=24)}


def check(body: Any, world: World, now: datetime) -> Contract:
    """Refuse what is not a good task request; the contract of one that is."""
    _check_names(body)
    contract = contract_of(body["contractID"], world)
    for name, value in body.items():
        check_value(name, value)
    check_mode(body["imagingMode"], contract)
    _check_time(body["acquisitionWindow"], now)
    if world.scenario.strict:
        _check_notice(body, now)
    _check_products(body, contract)
    _check_derivatives(body, world, contract)
    return contract


def contract_of(contract_id: Any, world: World) -> Contract:
    check_value("contractID", contract_id)
    contract = world.contract(contract_id)
    if contract is None:
        raise Refused(403, "forbidden", "no such contract")
    return contract


def check_mode(mode: str, contract: Contract) -> None:
    if mode not in contract.allowed_modes():
        raise bad(f"the contract does not allow {mode}; it allows {', '.join(contract.allowed_modes())}")


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
        raise bad(f"acquisitionWindow must end in the next 14 days (it is {documents.timestamp(now)} now)")


def _check_notice(body: Mapping[str, Any], now: datetime) -> None:
    start, end = (documents.moment(body["acquisitionWindow"][key]) for key in ("start", "end"))
    notice = _NOTICE[body.get("priority", TERMS["priority"][0])]
    if start < now + notice:
        hours, today = notice.total_seconds() / 3600, documents.timestamp(now)
        raise bad(f"acquisitionWindow must start at least {hours:g} hours from now, which is {today}")
    if end - start < _SHORTEST:
        raise bad("acquisitionWindow must be at least 24 hours long")


def _check_products(body: Mapping[str, Any], contract: Contract) -> None:
    allowed = contract.allowed_products(body["imagingMode"])
    forbidden = [kind for kind in body.get("productTypes", ()) if kind not in allowed]
    if forbidden:
        words = f"{', '.join(forbidden)} of {body['imagingMode']}; it allows {', '.join(allowed) or 'nothing'}"
        raise bad(f"the contract does not allow {words}")


def _check_derivatives(body: Mapping[str, Any], world: World, contract: Contract) -> None:
    wanted = body.get("derivativeProductTypes", [])
    unknown = sorted(set(wanted) - DERIVATIVES - set(world.scenario.course(body.get("reference")).derivatives))
    if unknown:
        raise bad(f"unknown derivative types {', '.join(unknown)}")
    if wanted and body["imagingMode"] not in documents.SUPPORTED_MODES:
        details = f"{body['imagingMode']} does not support derivatives"
        raise Refused(400, "INCOMPATIBLE_IMAGING_MODE_FOR_DERIVATIVES", details)
    if wanted and "GRD" not in body.get("productTypes", ()):
        raise bad("derivatives need GRD in productTypes")
    forbidden = [kind for kind in wanted if not contract.allows_derivative(kind)]
    if forbidden:
        raise bad(f"the contract does not allow {', '.join(forbidden)}")


# --- values ------------------------------------------------------------------------------------------------------


def is_uuid(value: Any) -> bool:
    form = "[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}"
    return isinstance(value, str) and re.fullmatch(form, value) is not None


def _has(value: Any, *names: str) -> bool:
    """Whether it is an object with these fields and no others."""
    return isinstance(value, dict) and set(value) == set(names)


def _text(value: Any, most: int | None = None) -> bool:
    return isinstance(value, str) and (most is None or len(value) <= most)


def _whole(value: Any, least: int, most: int) -> bool:
    return type(value) is int and least <= value <= most


def _number(value: Any, least: float, most: float) -> bool:
    return type(value) in {int, float} and least <= value <= most


def _position(value: Any) -> bool:
    return _has(value, "lat", "lon") and _number(value["lat"], -90, 90) and _number(value["lon"], -180, 180)


def _window(value: Any) -> bool:
    try:
        return _has(value, "start", "end") and documents.moment(value["start"]) < documents.moment(value["end"])
    except (TypeError, ValueError):
        return False


def _angles(value: Any) -> bool:
    return (
        _has(value, "min", "max")
        and all(_whole(angle, 10, 45) for angle in value.values())
        and value["min"] <= value["max"]
    )


def _webhook(value: Any) -> bool:
    return _has(value, "webhook") and _has(value["webhook"], "id") and is_uuid(value["webhook"]["id"])


def _deliveries(value: Any) -> bool:
    return isinstance(value, list) and all(_has(entry, "locations") and _places(entry["locations"]) for entry in value)


def _places(value: Any) -> bool:
    return isinstance(value, list) and all(
        isinstance(place, dict)
        and {"configID", "path"} <= set(place) <= {"configID", "path", "subPath"}
        and all(map(_text, place.values()))
        and is_uuid(place["configID"])
        for place in value
    )


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_text, value))


def _one_of(*names: str) -> Rule:
    return lambda value: isinstance(value, str) and value in names, f"one of {', '.join(names)}"


def _some_of(*names: str) -> Rule:
    return lambda value: _texts(value) and set(value) <= set(names), f"an array of {', '.join(names)}"


_REQUIRED: Mapping[str, Rule] = {
    "contractID": (is_uuid, "a UUID"),
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
    "productTypes": _some_of(*PRODUCTS),
    "derivativeProductTypes": (_texts, "an array of strings"),
    "eula": _one_of(*TERMS["eula"]),
    "notifications": (_webhook, "a webhook with an id"),
    "deliveries": (_deliveries, "an array of objects with locations, each with configID and path"),
}
