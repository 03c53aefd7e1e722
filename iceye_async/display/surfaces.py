"""Where a board is shown: a terminal, the output of a notebook's cell, or lines in a log. It is loaded when needed.

Everything is drawn in the event loop, between two steps of the work; a timer draws while there are none.
"""

import asyncio
import io
import logging
import sys
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable
from contextlib import suppress
from html import escape
from time import monotonic as now
from types import TracebackType
from typing import IO, Any, Self
from weakref import WeakSet

import rich
from rich.color import parse_rgb_hex
from rich.console import Console, Group, RenderableType
from rich.errors import LiveError
from rich.live import Live
from rich.terminal_theme import TerminalTheme
from rich.text import Text

from .board import Board
from .cell import Output
from .markup import AMBER, BLUE, GREEN, RED
from .pens import Pens

log = logging.getLogger("iceye_async")

REDRAW = 0.1
"""Seconds between two drawings in a terminal,"""
REDRAW_CALM = 0.25
"""where something moves, and where nothing does but times."""
REDRAW_NOTEBOOK = 0.25
"""In a notebook each drawing is a message to a browser."""
ASK = 1.0
"""Seconds after which a board that is told nothing is asked whether it has a line to say."""
_UNKNOWN_WIDTH = 80
"""What rich takes where a terminal does not say how wide it is."""
_PAGE = (
    '<pre style="white-space:pre;overflow-x:auto;line-height:normal;'
    "font-family:Menlo,'DejaVu Sans Mono',consolas,'Courier New',monospace\">{code}</pre>"
)
_GREY, _CYAN = (128, 128, 128), (30, 150, 165)
_COLOURS = [_GREY, *map(parse_rgb_hex, (colour[1:] for colour in (RED, GREEN, AMBER, BLUE))), _GREY, _CYAN, _GREY]
_THEME = TerminalTheme((255, 255, 255), (0, 0, 0), _COLOURS, _COLOURS)
"""Colours that can be read in a light page and in a dark one; those of a terminal are too dark for the latter."""
_taken: "WeakSet[Console]" = WeakSet()
"""The consoles that have a picture at this moment: two displays that move one cursor would garble each other."""


def shown(board: Board, console: Console | None) -> "Surface":
    """What fits this console, for a `with`: it is closed at the end, however that comes."""
    console = rich.get_console() if console is None else console
    if console.width < 1:
        # COLUMNS=0: rich would write nothing at all, and nobody knows how wide a picture may be.
        console.width = _UNKNOWN_WIDTH
    elif console not in _taken:
        if console.is_jupyter:
            return Notebook(board, console)
        if console.is_terminal and console.is_interactive and not console.is_dumb_terminal:
            with suppress(LiveError):  # rich before 14.1, and the console has a live display of the caller's already
                return Terminal(board, console)
    return Lines(board, console)


class Surface(ABC):
    """Shows what a board has to show. What fails in showing ends the showing, and nothing else."""

    def __init__(self, board: Board, console: Console) -> None:
        self._board = board
        self._console = console
        self._is_off = False
        self._timer: asyncio.TimerHandle | None = None

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stop()
        self._try(self._restore)
        self._try(self._end, error)
        self._is_off = True

    def told(self, event: Any) -> None:
        """After each step of the work."""
        self._try(self._tell, event)

    def _tell(self, event: Any) -> None:
        self._board.told(event, now())
        self._show(event)

    def _begin(self) -> None:
        """At the end of making it: what is refused before has taken nothing."""
        self._try(self._tick)

    def _tick(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(self._pause(), self._try, self._tick)
        self._ask()

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()

    def _try(self, draw: Callable[..., None], *values: Any) -> None:
        if self._is_off:
            return
        try:
            draw(*values)
        except LiveError:
            raise
        except BrokenPipeError:
            # Nobody reads it any more, and whoever prints there finds out.
            self._give_up()
        except Exception:
            log.warning("a display failed; what it showed goes on without it", exc_info=True)
            self._give_up()

    def _give_up(self) -> None:
        self._is_off = True
        self._stop()
        with suppress(Exception):
            self._restore()

    @abstractmethod
    def _pause(self) -> float:
        """Seconds until the next `_ask`."""

    @abstractmethod
    def _ask(self) -> None:
        """Some time has passed."""

    @abstractmethod
    def _show(self, event: Any) -> None: ...

    @abstractmethod
    def _restore(self) -> None:
        """Leave the console as it was."""

    @abstractmethod
    def _end(self, error: BaseException | None) -> None: ...


class Lines(Surface):
    """A line whenever something is new; nothing is ever drawn over."""

    def __init__(self, board: Board, console: Console) -> None:
        super().__init__(board, console)
        self._try(self._print, board.begin())
        self._begin()

    def _pause(self) -> float:
        return ASK

    def _ask(self) -> None:
        self._print(self._board.lines(None))

    def _show(self, event: Any) -> None:
        self._print(self._board.lines(event))

    def _restore(self) -> None:
        """There is nothing to restore."""

    def _end(self, error: BaseException | None) -> None:
        self._print(self._board.last(error))

    def _print(self, lines: Iterable[str]) -> None:
        for line in lines:
            # Soft: a line of a log ends where it ends, however wide a terminal might be.
            self._console.print(Text(Pens.of(self._console.options).written(line)), soft_wrap=True)


class Drawn(Surface):
    """A picture that is drawn anew, and notices above it."""

    def __init__(self, board: Board, console: Console) -> None:
        super().__init__(board, console)
        self._due = 0.0

    def _begin(self) -> None:
        _taken.add(self._console)
        super()._begin()

    def _pause(self) -> float:
        return self._every()

    def _ask(self) -> None:
        self._note(self._board.above(None))
        self._draw()

    def _show(self, event: Any) -> None:
        self._note(self._board.above(event))
        if now() >= self._due:
            self._draw()

    def _draw(self) -> None:
        self._due = now() + self._every()
        self._redraw()

    def _restore(self) -> None:
        _taken.discard(self._console)

    @abstractmethod
    def _every(self) -> float:
        """Seconds between two drawings."""

    @abstractmethod
    def _redraw(self) -> None: ...

    @abstractmethod
    def _note(self, notices: Iterable[RenderableType]) -> None: ...


class Terminal(Drawn):
    """The notices scroll away; the picture stays below them."""

    def __init__(self, board: Board, console: Console) -> None:
        super().__init__(board, console)
        self._live = Live(
            get_renderable=lambda: board.picture,
            console=console,
            auto_refresh=False,
            transient=True,
            # What is printed meanwhile stands above the picture; what goes to a file still goes there.
            redirect_stdout=_on_screen(sys.stdout, console),
            redirect_stderr=_on_screen(sys.stderr, console),
        )
        self._try(self._live.start)
        self._begin()

    def _every(self) -> float:
        return REDRAW_CALM if self._board.calm else REDRAW

    def _redraw(self) -> None:
        self._live.refresh()

    def _note(self, notices: Iterable[RenderableType]) -> None:
        for notice in notices:
            self._console.print(notice)

    def _restore(self) -> None:
        super()._restore()
        self._live.stop()

    def _end(self, error: BaseException | None) -> None:
        self._note(self._board.end(error))


def _on_screen(stream: IO[str] | None, console: Console) -> bool:
    if stream is None or stream is console.file:
        return stream is not None
    try:
        return stream.isatty()
    except (AttributeError, ValueError):
        # What stands in for a stream may have no such question, or be closed.
        return False


class Notebook(Drawn):
    """One output of the cell, replaced by each drawing. rich's own live display needs ipywidgets for that."""

    def __init__(self, board: Board, console: Console) -> None:
        super().__init__(board, console)
        self._above: list[RenderableType] = []
        self._output = Output()
        self._begin()

    def _every(self) -> float:
        return REDRAW_NOTEBOOK

    def _redraw(self) -> None:
        self._output.draw(self._bundle(*self._above, self._board.picture, markup=self._board.markup))

    def _note(self, notices: Iterable[RenderableType]) -> None:
        self._above += notices

    def _end(self, error: BaseException | None) -> None:
        self._note(self._board.end(error))
        self._output.draw(self._bundle(*self._above, markup=self._board.markup))

    def _bundle(self, *drawn: RenderableType, markup: str | None) -> dict[str, str]:
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
        if markup is not None:
            return {"text/html": markup, "text/plain": page.export_text()}
        coloured = page.export_html(theme=_THEME, inline_styles=True, code_format=_PAGE, clear=False)
        text = page.export_text()
        # What rich exports has its colours in any case.
        return {"text/html": _PAGE.format(code=escape(text)) if page.no_color else coloured, "text/plain": text}
