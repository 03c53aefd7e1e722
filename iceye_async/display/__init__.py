"""What people see: text for terminals, bars of downloads, waits and batches as they go on.

Everything that came from outside is escaped.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .batches import batching
    from .progress import bars
    from .waiting import following

__all__ = ["bars", "batching", "following"]


def __getattr__(name: str) -> Any:
    """They come when they are asked for: the plain words of `text` are for those whom they themselves need."""
    if name == "bars":
        from .progress import bars

        return bars
    if name == "following":
        from .waiting import following

        return following
    if name == "batching":
        from .batches import batching

        return batching
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
