"""What people see: text for terminals, and bars of downloads. Everything that came from outside is escaped."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .progress import bars

__all__ = ["bars"]


def __getattr__(name: str) -> Any:
    """`bars` comes when it is asked for: the plain words of `text` are for those whom `bars` itself needs."""
    if name == "bars":
        from .progress import bars

        return bars
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
