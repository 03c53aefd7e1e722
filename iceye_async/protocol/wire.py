"""JSON to models: the only converter, and the only place where the service's JSON spellings stand.

Strict about what is read, easy about what is new. A value of the wrong kind is a `DecodeError` with its JSON path
(cattrs alone would turn null into "None" and "false" into True); unknown keys, types and modes pass through, and every
model keeps the JSON it came from. Null and absent mean the same. Of a key that stands twice the last one counts.

No value from a body is ever quoted in an error: it may be a signed link.
"""

import json
import math
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from datetime import UTC, datetime
from functools import cache, partial
from types import UnionType
from typing import Any, NamedTuple, TypeVar, get_args, get_origin

from attrs import asdict
from cattrs import ClassValidationError, Converter
from cattrs.errors import AttributeValidationNote
from cattrs.gen import make_dict_structure_fn, override

from ..errors import DecodeError
from ..models import (
    Allowance,
    AngleRange,
    Contract,
    Derivative,
    DerivativeAsset,
    Feasibility,
    ImagingMode,
    Interval,
    Position,
    Product,
    ProductAsset,
    Scene,
    Task,
)
from .ordering import TaskRequest

M = TypeVar("M")

DEEPEST = 100
"""How many arrays and objects may stand inside one another. The documented bodies need eight."""

_MOST_DIGITS = 4300

_SPELLING: Mapping[type, Mapping[str, str]] = {
    Derivative: {
        "type": "derivativeProductType",
        "image_reference": "imageReference",
        "image_id": "imageId",
    },
    Task: {
        "contract_id": "contractID",
        "imaging_mode": "imagingMode",
        "point_of_interest": "pointOfInterest",
        "acquisition_window": "acquisitionWindow",
        "created_at": "createdAt",
        "updated_at": "updatedAt",
        "fulfilled_at": "fulfilledAt",
        "product_types": "productTypes",
        "derivative_product_types": "derivativeProductTypes",
        "incidence_angle": "incidenceAngle",
        "look_side": "lookSide",
        "pass_direction": "passDirection",
        "imaging_duration": "imagingDuration",
        "products_available_in_seconds": "productsAvailableInSeconds",
    },
    Scene: {
        "imaging_time": "imagingTime",
        "look_side": "lookSide",
        "pass_direction": "passDirection",
        "incidence_angle": "incidenceAngle",
    },
    Contract: {"imaging_modes": "imagingModes"},
    Product: {
        "product_type": "sar:product_type",
        "mode": "iceye:acquisition_mode",
        "incidence_near": "iceye:incidence_near",
        "incidence_center": "iceye:incidence_center",
        "incidence_far": "iceye:incidence_far",
        "azimuth_resolution": "iceye:azimuth_resolution",
        "range_resolution_near": "iceye:range_resolution_near",
        "range_resolution_center": "iceye:range_resolution_center",
        "range_resolution_far": "iceye:range_resolution_far",
        "look_side": "sar:observation_direction",
        "orbit_state": "sat:orbit_state",
        "polarizations": "sar:polarizations",
    },
}
_ITEM_KEYS = ("id", "assets", "bbox", "geometry")
"""Of a product: what stands on the STAC item itself. Everything else is read from its `properties`."""


_MOST_FLAWS = 1000
"""So many say enough, and a body made to hold millions of them must not hold up everything else."""


class Flaw(NamedTuple):
    """Something in a body that cannot be read."""

    path: str
    reason: str
    type: str | None = None
    """Of an unreadable derivative: its type, where that much could be read."""


class Page(NamedTuple):
    """One page of a list: what could be read, what could not, and where the next page is."""

    items: tuple[Any, ...]
    flaws: tuple[Flaw, ...]
    cursor: str | None


# --- bytes to JSON ---------------------------------------------------------------------------------------------


def decode(body: bytes) -> Any:
    """The JSON in a body. Raises `DecodeError`: not UTF-8, not JSON, NaN or an infinity, too deep, a lone surrogate."""
    try:
        text = body.decode()
        # Python's own limit, which an application may lift: reading digits takes the square of their number.
        unlimited = not 0 < sys.get_int_max_str_digits() <= _MOST_DIGITS
        document = (_parse_limited if unlimited else _parse)(text.removeprefix("\ufeff"))
        # A deep body breaks whoever walks it later, and the parser's own limit differs between Pythons.
        deep = text.count("[") + text.count("{") > DEEPEST and _deeper(document, DEEPEST)
        if "\\u" in text:
            json.dumps(document, ensure_ascii=False).encode()
        if not deep:
            return document
        reason = _TOO_DEEP
    except UnicodeDecodeError as error:
        reason = f"the answer is not UTF-8 (byte {error.start})"
    except UnicodeEncodeError:
        reason = "the answer holds half a character (a lone surrogate)"
    except RecursionError:
        reason = _TOO_DEEP
    except ValueError as error:
        reason = f"the answer is not JSON: {_position(error)}"
    # Raised out here, it has no context: the errors above hold the body, and a body may hold secrets.
    raise DecodeError(reason, where=("$",))


_TOO_DEEP = f"the answer is nested more than {DEEPEST} deep"


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is no JSON number")


def _finite(digits: str) -> float:
    number = float(digits)
    if math.isinf(number):
        raise ValueError("a number is too large")
    return number


def _short(digits: str) -> int:
    if len(digits) > _MOST_DIGITS:
        raise ValueError("a number has too many digits")
    return int(digits)


_parse = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite).decode
_parse_limited = json.JSONDecoder(parse_constant=_refuse, parse_float=_finite, parse_int=_short).decode


def _position(error: ValueError) -> str:
    if isinstance(error, json.JSONDecodeError):
        return f"{error.msg} at character {error.pos}"
    return "a number has too many digits" if "digits" in str(error) else str(error)


def _deeper(document: Any, limit: int) -> bool:
    level = [document]
    for _ in range(limit):
        level = [
            child
            for node in level
            if type(node) is list or type(node) is dict
            for child in (node.values() if type(node) is dict else node)
            if type(child) is list or type(child) is dict
        ]
        if not level:
            return False
    return True


# --- JSON to models --------------------------------------------------------------------------------------------


def derivatives(body: bytes, task_id: str, fetched: float | None = None) -> Page:
    """The derivatives on a list, each with the task they belong to and the time they were given."""
    return _page(decode(body), partial(_structure, model=Derivative, task_id=task_id, fetched=fetched))


def products(body: bytes, task_id: str, fetched: float | None = None) -> Page:
    """A page of products, each with the task it belongs to and the time it was given."""
    return _page(decode(body), partial(_product, task_id=task_id, fetched=fetched))


_PLAIN_KEY = r"[\w .:/-]{1,40}"

# Of a link in a body only what cannot change how the body is read: no quote, no escape, no control character.
_LINK = rb'"href"[ \t\r\n]*:[ \t\r\n]*"[!#-\[\]-~]*"'


def without_links(body: bytes) -> bytes:
    """What is left of a body without its links. Two bodies that are equal then differ in nothing but links."""
    return re.sub(_LINK, b'"href":""', body)


def one(body: bytes, model: type[M], task_id: str | None = None) -> M:
    """The one thing that a body is: a task, a scene, a price, a contract."""
    document = decode(body)
    try:
        return _structure(document, model, task_id)
    except (_Flawed, ClassValidationError) as error:
        flaws = tuple(_flaws(error, "$"))
    raise unreadable(flaws)


def page(body: bytes, model: type[Any]) -> Page:
    """A page of a list of tasks or contracts."""
    return _page(decode(body), partial(_structure, model=model))


def feasibility(body: bytes) -> tuple[Feasibility, ...]:
    """What was found about each task request, in their order."""
    document = decode(body)
    found = document.get("feasibility") if type(document) is dict else None
    if type(found) is not list:
        raise unreadable([Flaw("$.feasibility", f"expected an array, got {_KINDS[type(found)]}")])
    items, flaws = _sorted_out(found, partial(_structure, model=Feasibility), "$.feasibility")
    if flaws:
        raise unreadable(flaws, latest=items)
    return items


# --- models to JSON --------------------------------------------------------------------------------------------


def order(request: TaskRequest) -> dict[str, Any]:
    """The body that orders a task; what is None is left out."""
    given = asdict(request, recurse=False, filter=lambda _, value: value is not None)
    return {_SPELLING[Task].get(name, name): _unstructured(value) for name, value in given.items()}


def _unstructured(value: Any) -> Any:
    if isinstance(value, Position | AngleRange):
        return value._asdict()
    if isinstance(value, Interval):
        return {"start": timestamp(value.start), "end": timestamp(value.end)}
    return list(value) if isinstance(value, tuple) else value


def timestamp(moment: datetime) -> str:
    """A time in UTC, as RFC 3339 has it."""
    return moment.isoformat().replace("+00:00", "Z")


def unreadable(flaws: Iterable[Flaw], **facts: Any) -> DecodeError:
    """One error that names every flaw."""
    flaws = tuple(flaws)
    shown = "; ".join(f"{flaw.reason} @ {flaw.path}" for flaw in flaws[:5])
    more = f" (and {len(flaws) - 5} more)" if len(flaws) > 5 else ""
    return DecodeError(
        f"the answer is not as documented: {shown}{more}", where=tuple(flaw.path for flaw in flaws), **facts
    )


class _Flawed(Exception):
    """Carries flaws from where they are seen to where their place in the body is known."""

    def __init__(self, *flaws: Flaw) -> None:
        super().__init__()
        self.flaws = flaws


def _page(document: Any, read: Callable[[Any], Any]) -> Page:
    if type(document) is not dict:
        raise unreadable([Flaw("$", f"expected an object, got {_KINDS[type(document)]}")])
    data, cursor = document.get("data"), document.get("cursor")
    if type(data) is not list:
        raise unreadable([Flaw("$.data", f"expected an array, got {_KINDS[type(data)]}")])
    if cursor is not None and type(cursor) is not str:
        raise unreadable([Flaw("$.cursor", f"expected a string, got {_KINDS[type(cursor)]}")])
    try:
        return Page(tuple([read(item) for item in data]), (), cursor or None)
    except (_Flawed, ClassValidationError):
        items, flaws = _sorted_out(data, read, "$.data")
        return Page(items, flaws, cursor or None)


def _sorted_out(data: list[Any], read: Callable[[Any], Any], place: str) -> tuple[tuple[Any, ...], tuple[Flaw, ...]]:
    """The items that can be read, and what is wrong with the others."""
    items, flaws = [], []
    for index, item in enumerate(data):
        try:
            items.append(read(item))
        except (_Flawed, ClassValidationError) as error:
            kind = item.get("derivativeProductType") if type(item) is dict else None
            kind = kind if type(kind) is str else None
            flaws += [flaw._replace(type=kind) for flaw in _flaws(error, f"{place}[{index}]")]
            if len(flaws) >= _MOST_FLAWS:
                flaws.append(Flaw(f"{place}[{index + 1}:]", "not looked at, after so many flaws"))
                break
    return tuple(items), tuple(flaws)


def _structure(document: Any, model: type[M], task_id: str | None = None, fetched: float | None = None) -> M:
    """The model with `document` attached, from an object in which null and absent mean the same."""
    if type(document) is not dict:
        raise _Flawed(Flaw("$", f"expected an object, got {_KINDS[type(document)]}"))
    known = document.copy() if None not in document.values() else _without_nulls(document)
    known["document"] = document
    known["task_id"] = task_id
    _stamp(known, fetched)
    made: M = _reader(model)(known, model)  # type: ignore[arg-type] # a class is hashable
    return made


def _without_nulls(document: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in document.items() if value is not None}


def _product(item: Any, task_id: str, fetched: float | None) -> Product:
    if type(item) is not dict:
        raise _Flawed(Flaw("$", f"expected an object, got {_KINDS[type(item)]}"))
    properties = item.get("properties")
    if type(properties) is not dict:
        raise _Flawed(Flaw("$.properties", f"expected an object, got {_KINDS[type(properties)]}"))
    known = {key: value for key, value in properties.items() if value is not None and key not in _ITEM_KEYS}
    known |= {key: item[key] for key in _ITEM_KEYS if item.get(key) is not None}
    if "assets" not in known:
        raise _Flawed(Flaw("$.assets", "expected an object, got nothing"))
    known.pop("acquired", None)
    if {"start_datetime", "end_datetime"} <= known.keys():
        known["acquired"] = properties
    known["document"] = item
    known["task_id"] = task_id
    _stamp(known, fetched)
    made: Product = _reader(Product)(known, Product)
    return made


def _stamp(known: dict[str, Any], fetched: float | None) -> None:
    """Ours alone, whatever the service may call by that name."""
    known.pop("fetched", None)
    if fetched is not None:
        known["fetched"] = fetched


# --- the converter ---------------------------------------------------------------------------------------------

Read = Callable[[Any, Any], Any]


@cache
def _reader(model: Any) -> Read:
    renamed = {name: override(rename=key) for name, key in _SPELLING.get(model, {}).items()}
    if model is Product:
        read = _named_tuple(Interval, _instant, ("start_datetime", "end_datetime"))
        renamed["acquired"] = override(struct_hook=read)
    if model is Scene:
        renamed["incidence_angle"] = override(rename="incidenceAngle", struct_hook=_angle)
    if model is Contract:
        renamed["imaging_modes"] = override(rename="imagingModes", struct_hook=_modes)
    # cattrs types its keyword arguments as one kind; ours are overrides by attribute.
    return make_dict_structure_fn(model, _converter(), **renamed)  # type: ignore[arg-type]


def _flaws(error: Exception, path: str) -> Iterator[Flaw]:
    """What a nest of validation errors says, in the service's spelling."""
    if isinstance(error, _Flawed):
        yield from (flaw._replace(path=path + flaw.path[1:]) for flaw in error.flaws)
    elif isinstance(error, ClassValidationError):
        for inner in error.exceptions:
            yield from _flaws(inner, path + _step(error.cl, inner))
    elif isinstance(error, KeyError):
        yield Flaw(path, "expected a value, got nothing")
    else:
        yield Flaw(path, str(error))


def _step(model: type, error: Exception) -> str:
    note = next(note for note in error.__notes__ if isinstance(note, AttributeValidationNote))
    key = _SPELLING.get(model, {}).get(note.name, note.name)
    if model is not Product or key in _ITEM_KEYS:
        return f".{key}"
    # The two times of the acquisition are read from the properties as a pair.
    return ".properties" if key == "acquired" else f".properties.{key}"


_KINDS = {
    dict: "an object",
    list: "an array",
    str: "a string",
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    type(None): "nothing",
}


def _must_be(expected: type, value: Any) -> None:
    if type(value) is not expected:
        raise _expected(expected, value)


def _expected(expected: type, value: Any) -> TypeError:
    return TypeError(f"expected {_KINDS[expected]}, got {_KINDS[type(value)]}")


def _scalar(expected: type) -> Read:
    def read(value: Any, _: Any) -> Any:
        if type(value) is expected:
            return value
        raise _expected(expected, value)

    return read


def _number(value: Any, _: Any) -> float:
    if type(value) is not int:
        _must_be(float, value)
    try:
        return float(value)
    except OverflowError:
        raise TypeError("expected a number, got one that is too large") from None


def _angle(value: Any, _: Any) -> float | None:
    """The specification has text here, and ICEYE's own demo takes both."""
    if type(value) is str:
        return float(value) if re.fullmatch(r"(?a)-?\d{1,3}(\.\d{1,20})?", value.strip()) else None
    return _number(value, None)


def _modes(value: Any, _: Any) -> tuple[ImagingMode | str, ...]:
    """The list of modes. In the sample of the API page it stands in a list of its own, so it is read either way."""
    _must_be(dict, value)
    allowed = [] if value.get("allowed") is None else value["allowed"]
    if type(allowed) is not list:
        raise _Flawed(Flaw("$.allowed", str(_expected(list, allowed))))
    modes: list[tuple[str, Any]] = []
    for index, part in enumerate(allowed):
        place = f".allowed[{index}]"
        modes += [(f"{place}[{n}]", mode) for n, mode in enumerate(part)] if type(part) is list else [(place, part)]
    return tuple(_parts(modes, _open_enum(ImagingMode)))


# Python's own reader also takes week dates, a space for the T and times without a zone; RFC 3339 does not.
_TIMESTAMP = r"(?a)\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d{1,9})?([Zz]|[+-]\d\d:\d\d)"


def _instant(value: Any, _: Any) -> datetime:
    _must_be(str, value)
    if re.fullmatch(_TIMESTAMP, value) is None:
        raise TypeError("expected a time with a zone, as RFC 3339 has it")
    try:
        return datetime.fromisoformat(value.upper()).astimezone(UTC)
    except (ValueError, OverflowError):
        raise TypeError("expected a time that exists") from None


def _parts(parts: Iterable[tuple[str, Any]], read: Read) -> Iterator[Any]:
    """Each part of an array or object, read; a flaw is placed where the part stands."""
    for place, part in parts:
        try:
            yield read(part, None)
        except (TypeError, _Flawed, ClassValidationError) as error:
            raise _Flawed(*_flaws(error, f"${place}")) from None


def _named_tuple(model: Any, read_part: Read, keys: tuple[str, ...] | None = None) -> Read:
    def read(value: Any, _: Any) -> Any:
        _must_be(dict, value)
        return model(*_parts([(f".{key}", value.get(key)) for key in keys or model._fields], read_part))

    return read


def _tuple(read_part: Read) -> Read:
    def read(value: Any, _: Any) -> Any:
        if type(value) is not list:
            raise _expected(list, value)
        if not value:
            return ()
        try:
            return tuple([read_part(part, None) for part in value])
        except (TypeError, ClassValidationError):
            # Once more, slower, for the place of what is wrong.
            return tuple(_parts([(f"[{index}]", part) for index, part in enumerate(value)], read_part))

    return read


def _mapping(read_part: Read) -> Read:
    def read(value: Any, _: Any) -> Any:
        _must_be(dict, value)
        try:
            return {key: read_part(part, None) for key, part in value.items()}
        except (TypeError, ClassValidationError):
            # A key is the service's to choose: shown, it is short, on one line and no link.
            parts = [(f".{key}" if re.fullmatch(_PLAIN_KEY, key) else ".<key>", part) for key, part in value.items()]
            return dict(zip(value, _parts(parts, read_part), strict=True))

    return read


def _asset(model: type) -> Read:
    def read(value: Any, _: Any) -> Any:
        if type(value) is not dict:
            raise _expected(dict, value)
        return _reader(model)(value if None not in value.values() else _without_nulls(value), model)

    return read


def _open_enum(enum: Any) -> Read:
    known = enum._value2member_map_

    def read(value: Any, _: Any) -> Any:
        if type(value) is not str:
            raise _expected(str, value)
        return known.get(value, value)

    return read


def _union(of: Any) -> Read:
    """`X | None`: null never gets here. `Enum | str`: the member where there is one, else the string."""
    kinds = [kind for kind in get_args(of) if kind is not type(None)]
    if len(kinds) == 1:
        return _converter().get_structure_hook(kinds[0])
    return _open_enum(next(kind for kind in kinds if kind is not str))


def _is_tuple(of: Any) -> bool:
    return get_origin(of) is tuple


@cache
def _converter() -> Converter:
    """The one converter. Made when the first body is read: that takes longer than to import most of this package."""
    converter = Converter(detailed_validation=True)
    for scalar in (str, int, bool):
        converter.register_structure_hook(scalar, _scalar(scalar))
    converter.register_structure_hook(float, _number)
    converter.register_structure_hook(datetime, _instant)
    converter.register_structure_hook(Interval, _named_tuple(Interval, _instant))
    converter.register_structure_hook(Position, _named_tuple(Position, _number))
    converter.register_structure_hook(AngleRange, _named_tuple(AngleRange, _number))
    converter.register_structure_hook(Allowance, _asset(Allowance))
    converter.register_structure_hook(DerivativeAsset, _asset(DerivativeAsset))
    converter.register_structure_hook(ProductAsset, _asset(ProductAsset))
    converter.register_structure_hook_func(lambda of: of == Mapping[str, Any], _scalar(dict))
    assets = _mapping(_asset(ProductAsset))
    converter.register_structure_hook_func(lambda of: of == Mapping[str, ProductAsset], assets)
    converter.register_structure_hook_factory(lambda of: isinstance(of, UnionType), _union)
    converter.register_structure_hook_factory(
        _is_tuple, lambda of: _tuple(converter.get_structure_hook(get_args(of)[0]))
    )
    return converter
