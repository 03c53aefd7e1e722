"""Where a download is shown: a terminal, the output of a notebook's cell, or lines in a log. Only `bars()` loads it.

Everything is drawn in the event loop, between two steps of the download; a timer draws while there are none.
"""

import asyncio
import io
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from html import escape
from time import monotonic as now
from typing import IO, Any, TypeAlias
from weakref import WeakSet

import rich
from rich.console import Console, Group, RenderableType
from rich.errors import LiveError
from rich.live import Live
from rich.text import Text

from ..events import DownloadEvent, Failed, Finished, Interrupted
from . import picture
from .account import Account
from .picture import Pens, Picture

log = logging.getLogger("iceye_async")

FEW = 20
"""So many files at most get a line of their own when they are whole; and so many when they failed."""
REDRAW = 0.1
"""Seconds between two drawings in a terminal."""
REDRAW_NOTEBOOK = 0.25
"""In a notebook each drawing is a message to a browser."""

_PAGE = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)
_taken: "WeakSet[Console]" = WeakSet()
"""The consoles that have bars at this moment: two displays that move one cursor would garble each other."""


@contextmanager
def shown(console: Console | None) -> Iterator["Surface"]:
    """What fits this console, closed at the end, however that comes."""
    surface = _fitting(rich.get_console() if console is None else console)
    how = "stopped"
    try:
        yield surface
        how = "complete"
    except Exception:
        how = "failed"
        raise
    finally:
        surface.close(how)


def _fitting(console: Console) -> "Surface":
    if console not in _taken:
        if console.is_jupyter:
            return Notebook(console)
        if console.is_terminal and console.is_interactive and not console.is_dumb_terminal:
            with suppress(LiveError):  # rich before 14.1, and the console has a live display of the caller's already
                return Terminal(console)
    return Lines(console)


class Surface(ABC):
    """Shows what a download tells. What fails in showing ends the showing, and nothing else."""

    def __init__(self, console: Console) -> None:
        self._console = console
        self._account = Account()
        self._began = now()
        self._failed = False

    def told(self, event: DownloadEvent) -> None:
        """After each step of the download."""
        self._account.told(event, now())
        if not self._failed:
            self._try(self._show, event)

    def ended(self, files: int) -> None:
        """The download came to its end, with so many files."""
        self._account.ended(files)

    def close(self, how: str) -> None:
        """After the last one; `how` is complete, failed or stopped."""
        if not self._failed:
            self._try(self._end, picture.summary(self._account, now() - self._began, how))

    @abstractmethod
    def _show(self, event: DownloadEvent) -> None: ...

    @abstractmethod
    def _end(self, summary: Text | None) -> None: ...

    def _try(self, draw: Callable[..., None], *values: Any) -> None:
        try:
            draw(*values)
        except LiveError:
            raise
        except Exception:
            if not self._failed:
                log.warning("a progress display failed; the download goes on without it", exc_info=True)
            self._failed = True


class Lines(Surface):
    """A line whenever something becomes of a file; nothing is ever drawn over."""

    def _show(self, event: DownloadEvent) -> None:
        if isinstance(event, Finished | Failed | Interrupted):
            self._print(picture.line(event))

    def _end(self, summary: Text | None) -> None:
        if summary is not None:
            self._print(summary.plain)

    def _print(self, line: str) -> None:
        # Soft: a line of a log ends where it ends, however wide a terminal might be.
        self._console.print(Text(Pens.of(self._console.options).written(line)), soft_wrap=True)


class Bars(Surface):
    """A picture that is drawn anew, and a line above it for what became of a file."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._picture = Picture(self._account, now)
        self._notices = Notices(self._account)
        self._due = 0.0

    def close(self, how: str) -> None:
        self._timer.cancel()
        _taken.discard(self._console)
        self._try(self._restore)
        super().close(how)

    def _begin(self, every: float) -> None:
        """At the end of making it: what is refused before has taken nothing."""
        _taken.add(self._console)
        self._every = every
        self._tick()

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._every, self._tick)
        if not self._failed:
            self._try(self._draw)

    def _show(self, event: DownloadEvent) -> None:
        self._note(self._notices.after(event))
        if now() >= self._due:
            self._draw()

    def _draw(self) -> None:
        self._due = now() + self._every
        self._redraw()

    @abstractmethod
    def _redraw(self) -> None: ...

    @abstractmethod
    def _note(self, news: Iterable["News"]) -> None: ...

    @abstractmethod
    def _restore(self) -> None:
        """Leave the console as it was."""


class Terminal(Bars):
    """The lines scroll away; the picture stays below them."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._live = Live(
            get_renderable=lambda: self._picture,
            console=console,
            auto_refresh=False,
            transient=True,
            # What is printed meanwhile stands above the bars; what goes to a file still goes there.
            redirect_stdout=_on_screen(sys.stdout, console),
            redirect_stderr=_on_screen(sys.stderr, console),
        )
        self._try(self._live.start)
        self._begin(REDRAW)

    def _redraw(self) -> None:
        self._live.refresh()

    def _note(self, news: Iterable["News"]) -> None:
        for event in news:
            self._console.print(picture.notice(event, self._console.options))

    def _restore(self) -> None:
        self._live.stop()

    def _end(self, summary: Text | None) -> None:
        self._note(self._notices.rest())
        if summary is not None:
            self._console.print(summary)


def _on_screen(stream: IO[str] | None, console: Console) -> bool:
    if stream is None or stream is console.file:
        return stream is not None
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        # What stands in for a stream may have no such question, or be closed.
        return False


class Notebook(Bars):
    """One output of the cell, replaced by each drawing. rich's own live display needs ipywidgets for that."""

    def __init__(self, console: Console) -> None:
        super().__init__(console)
        self._lines: list[RenderableType] = []
        self._output: Any = None
        self._begin(REDRAW_NOTEBOOK)

    def _redraw(self) -> None:
        from IPython.display import display  # type: ignore[import-not-found,unused-ignore]  # every notebook has it

        if self._output is None:
            self._output = display(self._bundle(self._picture), raw=True, display_id=True)
        else:
            self._output.update(self._bundle(*self._lines, self._picture), raw=True)

    def _note(self, news: Iterable["News"]) -> None:
        self._lines += [picture.notice(event, self._console.options) for event in news]

    def _restore(self) -> None:
        """There is nothing to restore."""

    def _end(self, summary: Text | None) -> None:
        self._note(self._notices.rest())
        self._output.update(self._bundle(*self._lines, *([] if summary is None else [summary])), raw=True)

    def _bundle(self, *drawn: RenderableType) -> dict[str, str]:
        width, height = self._console.size
        page = Console(
            file=io.StringIO(),
            record=True,
            force_jupyter=False,
            force_terminal=True,
            width=width,
            height=height,
            no_color=self._console.no_color,
        )
        page.print(Group(*drawn))
        coloured = page.export_html(inline_styles=True, code_format=_PAGE, clear=False)
        text = page.export_text()
        # What rich exports has its colours in any case.
        return {"text/html": _PAGE.format(code=escape(text)) if page.no_color else coloured, "text/plain": text}


News: TypeAlias = Finished | Failed


class Notices:
    """Which files get a line of their own: those that are whole while all files are few, and the first that failed.

    How many files there are is told late. Until then the lines are held back.
    """

    def __init__(self, account: Account) -> None:
        self._account = account
        self._held: list[Finished] = []
        self._failed = 0

    def after(self, event: DownloadEvent) -> Iterator[News]:
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
