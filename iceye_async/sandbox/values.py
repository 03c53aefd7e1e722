"""What the fields of a scenario may hold. Each check names the field, what it must be, and what was given."""

import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from attrs import Attribute

Check: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def checked(words: str, good: Callable[[Any], bool]) -> Check:
    """A validator; `words` say what a good value is."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not good(value):
            raise ValueError(f"{attribute.name} must be {words}: {value!r}")

    return check


def each(words: str, good: Callable[[Any], bool]) -> Check:
    """Of a table: its keys are texts, and each of its values is good."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
            raise ValueError(f"{attribute.name} must be a table: {value!r}")
        for key, entry in value.items():
            if not good(entry):
                raise ValueError(f"{attribute.name}.{key} must be {words}: {entry!r}")

    return check


def is_number(value: Any) -> bool:
    return type(value) in {int, float} and not math.isnan(value)


def is_texts(value: Any) -> bool:
    return isinstance(value, Collection) and all(isinstance(text, str) for text in value)


amount = checked("a finite number, 0 or more", lambda value: is_number(value) and 0 <= value < math.inf)
moment = checked("a number above 0, or inf", lambda value: is_number(value) and value > 0)
share = checked("a number above 0, at most 1", lambda value: is_number(value) and 0 < value <= 1)
count = checked("a whole number, 0 or more", lambda value: type(value) is int and value >= 0)
status = checked("an HTTP status in 200..999", lambda value: type(value) is int and 200 <= value <= 999)
text = checked("a text", lambda value: isinstance(value, str))
flag = checked("true or false", lambda value: type(value) is bool)


def choice(*good: object) -> Check:
    """One of these."""
    return checked(f"one of {', '.join(repr(value) for value in good)}", lambda value: value in good)


def bytes_of(value: Any) -> Any:
    """Text as UTF-8, and all else as it is."""
    if isinstance(value, str):
        return value.encode()
    if value is not None and not isinstance(value, bytes):
        raise ValueError(f"a body is text or bytes: {value!r}")
    return value


def texts(given: Any) -> Any:
    """A set of texts; a single one is a set, too."""
    if given is None or isinstance(given, str):
        return given if given is None else frozenset([given])
    if not is_texts(given):
        raise ValueError(f"this is no list of texts: {given!r}")
    return frozenset(given)
