"""What a surface shows: a board, which is told events and says what there is to see of them."""

from abc import ABC, abstractmethod
from collections.abc import Iterable
from types import ModuleType
from typing import TYPE_CHECKING, Any

from ..errors import MissingExtra

if TYPE_CHECKING:
    from rich.console import RenderableType


class Board(ABC):
    """Told events. A terminal or a notebook shows its picture and the notices above it; a log, its lines."""

    @property
    def calm(self) -> bool:
        """Whether nothing in the picture moves but times, unless it is told something."""
        return False

    @property
    @abstractmethod
    def picture(self) -> "RenderableType":
        """Drawn anew each time, as things are then."""

    @property
    def markup(self) -> str | None:
        """The picture as HTML, for a notebook; None where it is shown there as it is in a terminal."""
        return None

    @abstractmethod
    def told(self, event: Any, now: float) -> None:
        """`now` is the moment at which it was told."""

    def begin(self) -> Iterable[str]:
        """The first lines of a log."""
        return ()

    def above(self, event: Any) -> Iterable["RenderableType"]:  # noqa: ARG002 - most have nothing to say there
        """What to write above the picture after the event; after none (None), if there is something all the same."""
        return ()

    @abstractmethod
    def lines(self, event: Any) -> Iterable[str]:
        """What to write in a log after the event; after none (None), if there is something all the same."""

    @abstractmethod
    def end(self, error: BaseException | None) -> Iterable["RenderableType"]:
        """What stays in place of the picture. `error` is what ended the work early."""

    @abstractmethod
    def last(self, error: BaseException | None) -> Iterable[str]:
        """The last lines of a log."""


def surfaces() -> ModuleType:
    """The module that shows boards. Raises `MissingExtra` where rich is not installed."""
    try:
        from . import surfaces
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] != "rich":
            raise
        raise MissingExtra("displays need rich: pip install 'iceye-async[cli]'") from None
    return surfaces
