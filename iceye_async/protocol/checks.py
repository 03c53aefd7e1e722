"""Numbers that a caller gives, refused where they make no sense."""

from collections.abc import Callable
from typing import Any

from ..errors import UsageError

Validator = Callable[[Any, Any, Any], None]


def number(value: Any, name: str, *, above: float | None = None, least: float = 0.0) -> None:
    """Refuse what is no finite number above `above`; or, without that, not at least `least`."""
    real = isinstance(value, int | float) and not isinstance(value, bool)
    if above is not None:
        if not real or not above < value < float("inf"):
            raise UsageError(f"{name} is a number above {above:g}, not {value!r}")
    elif not real or not least <= value < float("inf"):
        raise UsageError(f"{name} is a number, {least:g} or more, not {value!r}")


def whole(value: Any, name: str, *, least: int) -> None:
    """Refuse what is no whole number from `least` on."""
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise UsageError(f"{name} is a whole number, {least} or more, not {value!r}")


def validator(check: Callable[..., None], *, optional: bool = False, **bounds: float) -> Validator:
    """The check as an attrs validator; where it is optional, None passes."""

    def validate(instance: Any, attribute: Any, value: Any) -> None:
        if value is None and optional:
            return
        check(value, f"{type(instance).__name__}: {attribute.name}", **bounds)

    return validate
