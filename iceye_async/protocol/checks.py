"""Numbers that a caller gives, refused where they make no sense."""

import math
from collections.abc import Callable
from typing import Any

from ..errors import UsageError

Validator = Callable[[Any, Any, Any], None]


def number(value: Any, name: str, *, above: float | None = None, least: float = 0.0) -> None:
    """Refuse what is no finite number above `above`; or, without that, not at least `least`."""
    if above is not None:
        if not _is_finite(value) or value <= above:
            raise UsageError(f"{name} is a number above {above:g}, not {_shown(value)}")
    elif not _is_finite(value) or value < least:
        raise UsageError(f"{name} is a number, {least:g} or more, not {_shown(value)}")


def whole(value: Any, name: str, *, least: int) -> None:
    """Refuse what is no whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is a whole number, {least} or more, not {_shown(value)}")


def _is_finite(value: Any) -> bool:
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    try:
        return math.isfinite(value)
    except OverflowError:
        return False


def _shown(value: Any) -> str:
    """The value, unless it is longer than anybody wants to read (or Python wants to print)."""
    return "so large a number" if isinstance(value, int) and value.bit_length() > 1000 else repr(value)


def validator(check: Callable[..., None], *, optional: bool = False, **bounds: float) -> Validator:
    """The check as an attrs validator; where it is optional, None passes."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if value is None and optional:
            return
        check(value, f"{type(instance).__name__}: {attribute.name}", **bounds)

    return validate
