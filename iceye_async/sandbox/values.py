"""What the fields of a scenario may hold. Each check names the field, what it must be, and what was given."""

import difflib
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from attrs import Attribute

Check: TypeAlias = Callable[[Any, "Attribute[Any]", Any], None]


def checked(words: str, good: Callable[[Any], bool]) -> Check:
    """A validator; `words` say what a good value is."""

    def check(_: object, attribute: "Attribute[Any]", value: object) -> None:
        if not good(value):
            shown = sorted(value) if isinstance(value, frozenset) else value
            raise ValueError(f"{attribute.name} must be {words}: {shown!r}")

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


MOST = 10 * 365 * 86_400
"""Seconds: ten years, beyond which a calendar would end."""
amount = checked(f"a number in 0..{MOST}", lambda value: is_number(value) and 0 <= value <= MOST)
moment = checked("a number above 0, or inf", lambda value: is_number(value) and value > 0)
share = checked("a number above 0, at most 1", lambda value: is_number(value) and 0 < value <= 1)
count = checked("a whole number, 0 or more", lambda value: type(value) is int and value >= 0)
status = checked("an HTTP status in 200..999", lambda value: type(value) is int and 200 <= value <= 999)
text = checked("a text", lambda value: isinstance(value, str))
flag = checked("true or false", lambda value: type(value) is bool)


def choice(*good: object) -> Check:
    """One of these."""
    return checked(f"one of {', '.join(str(value) for value in good if value)}", lambda value: value in good)


body = checked("a text, or bytes", lambda value: isinstance(value, bytes))


def bytes_of(value: Any) -> Any:
    """Text as UTF-8, and all else as it is."""
    return value.encode() if isinstance(value, str) else value


def texts(given: Any) -> Any:
    """A set of texts, of which a single one is one too; and all else as it is."""
    if isinstance(given, str):
        return frozenset([given])
    return frozenset(given) if is_texts(given) else given


def misspelt(kinds: Collection[str], good: Collection[str]) -> str | None:
    """Of names that may be new ones, the one that is more likely meant to be a good one, and which."""
    for kind in kinds:
        meant = [] if kind in good else difflib.get_close_matches(kind, good, 1, 0.85)
        if meant:
            return f"{kind}: did you mean {meant[0]}?"
    return None
