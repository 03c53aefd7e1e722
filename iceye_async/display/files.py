"""The board of one download: bars for its files and for the whole, and a line for what became of each file."""

from collections.abc import Callable, Iterable, Iterator
from typing import Any, TypeAlias

from rich.console import Console, ConsoleOptions, RenderableType, RenderResult
from rich.text import Text

from ..events import Failed, Finished, Interrupted
from . import picture
from .account import Account
from .board import Board
from .picture import Picture
from .text import outcome

FEW = 20
"""So many files at most get a line of their own when they are whole; and so many when they failed."""


class Files(Board):
    """How far a download is."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._account = Account()
        self._now = now
        self._began = now()
        self._picture = Picture(self._account, now)
        self._notices = Notices(self._account)

    @property
    def picture(self) -> RenderableType:
        return self._picture

    def told(self, event: Any, now: float) -> None:
        self._account.told(event, now)

    def ended(self, files: int) -> None:
        """The download came to its end, with so many files."""
        self._account.ended(files)

    def above(self, event: Any) -> Iterable[RenderableType]:
        return () if event is None else map(_Notice, self._notices.after(event))

    def lines(self, event: Any) -> Iterable[str]:
        if isinstance(event, Finished | Failed | Interrupted):
            yield picture.line(event)

    def end(self, error: BaseException | None) -> Iterable[RenderableType]:
        yield from map(_Notice, self._notices.rest())
        summary = self._summary(error)
        if summary is not None:
            yield summary

    def last(self, error: BaseException | None) -> Iterable[str]:
        summary = self._summary(error)
        if summary is not None:
            yield summary.plain

    def _summary(self, error: BaseException | None) -> Text | None:
        return picture.summary(self._account, self._now() - self._began, outcome(error))


News: TypeAlias = Finished | Failed


class _Notice:
    def __init__(self, event: News) -> None:
        self._event = event

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        yield picture.notice(self._event, options)


class Notices:
    """Which files get a line of their own: those that are whole while all files are few, and the first that failed.

    How many files there are is told late. Until then the lines are held back.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._held: list[Finished] = []
        self._failed = 0

    def after(self, event: Any) -> Iterator[News]:
        """What to write now."""
        if isinstance(event, Failed):
            self._failed += 1
            if self._failed <= FEW:
                yield event
        if isinstance(event, Finished):
            self._held.append(event)
        if self._account.files is not None or len(self._held) > FEW:
            yield from self.rest()

    def rest(self) -> Iterator[News]:
        """What was held back."""
        held, self._held = self._held, []
        if max(self._account.files or 0, self._account.finished) <= FEW:
            yield from held
