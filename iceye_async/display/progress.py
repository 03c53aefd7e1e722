"""`bars()`: drive a download, and show how far it is."""

from collections.abc import AsyncIterator, Generator, Sized
from typing import TYPE_CHECKING, Any, Protocol, TypeVar

from ..errors import UsageError
from ..events import DownloadEvent
from .board import surfaces

if TYPE_CHECKING:
    from rich.console import Console

R = TypeVar("R", bound=Sized, covariant=True)


class Downloading(Protocol[R]):
    """What `client.download()` gives, or anything that tells the same events and can be awaited for the end."""

    def __aiter__(self) -> AsyncIterator[DownloadEvent]: ...

    def __await__(self) -> Generator[Any, Any, R]: ...


async def bars(download: Downloading[R], *, console: "Console | None" = None) -> R:
    """What awaiting the download gives. Meanwhile: a bar for each file under way, and one for the whole.

        paths = await bars(client.download(task_id, to="products"))

    In a terminal the bars are redrawn in place; in a notebook too, in the output of the cell, without widgets.
    Elsewhere (a pipe, a log, `TERM=dumb`) a plain line tells of each file that is whole, that failed or that was
    interrupted. Files that are whole keep a line while they are few; of hundreds, only those under way are shown.
    `console` is a `rich.console.Console`; without one, what rich itself prints to: the standard output. While one
    download has its bars on a console, another one on it gets plain lines.

    Errors are those of the download, raised when the bars are closed. A display that fails is given up, with a
    warning in the log, and the download goes on. Without rich: `MissingExtra`.
    """
    shown, now = surfaces().shown, surfaces().now
    if not hasattr(download, "__aiter__"):
        raise UsageError(
            f"bars() drives the download itself: write bars(client.download(...)), without an await inside; "
            f"not {type(download).__name__}"
        )
    from .files import Files

    board = Files(now)
    with shown(board, console) as surface:
        async for event in download:
            surface.told(event)
        result = await download
        board.ended(len(result))
    return result
