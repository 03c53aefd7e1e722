"""What a command puts out: text for people here, JSON lines for programs in `jsonlines`.

Results go to the standard output, messages to the standard error. Both are told the same things by the commands.
"""

import os
import shutil
import sys
import textwrap
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from attrs import frozen
from rich.console import Console
from rich.text import Text

from ..batch import BatchEvent, BatchReport, Updated
from ..clock import Clock
from ..display import bars
from ..display.text import harmless
from ..errors import IceyeError
from ..events import DownloadEvent, Event
from ..models import Derivative, DerivativeUpdate, Product, Task
from . import facts
from .exits import Exit
from .words import PROGRAM, told

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..downloads import Download
    from ..waits import DerivativeWait, TaskWait


_SHOWN = 40
"""Tasks of a batch that are shown in a terminal: those that failed, those that wait, those that are complete."""
_LABEL = 22
"""Columns of the name of what was looked at; the longest is that of a variable."""


class Following(Protocol):
    """Is told of a wait, and of the downloads beside it."""

    def updated(self, update: Task | DerivativeUpdate) -> None: ...

    def told(self, event: DownloadEvent) -> None: ...


class Batching(Protocol):
    """Is told of a batch, and of its requests."""

    def told(self, event: BatchEvent) -> None: ...

    def requested(self, event: Event) -> None: ...


@frozen
class Check:
    """Something that `doctor` looked at. `state` is ok, warning, failed or skipped; `next` what to do about it."""

    name: str
    state: str
    detail: str
    next: str = ""


class Output(ABC):
    """Who a command tells what it found. `links`: whether signed links may be seen."""

    def __init__(self, *, name: str, links: bool = False) -> None:
        self.name = name
        self.links = links

    @abstractmethod
    def task(self, task: Task, *, alone: bool = False) -> None:
        """A task, of a list or `alone`."""

    @abstractmethod
    def product(self, product: Product) -> None: ...

    @abstractmethod
    def derivative(self, derivative: Derivative) -> None: ...

    @abstractmethod
    def check(self, check: Check) -> None: ...

    @abstractmethod
    def following(self, wait: "TaskWait | DerivativeWait", clock: Clock) -> AbstractContextManager[Following]:
        """Show a wait while it is driven inside."""

    @abstractmethod
    def batching(self, batch: "Batch", journal: str, rate: float | None) -> AbstractContextManager[Batching]:
        """Show a batch while it is driven inside."""

    @abstractmethod
    async def fetched(self, download: "Download[Path]") -> tuple[Path, ...]:
        """The paths; drives the download and shows how far it is."""

    @abstractmethod
    def report(self, report: BatchReport, journal: str, *, running: bool | None = None) -> None:
        """What has become of a batch; where somebody asked whether it is `running`, of each task."""

    @abstractmethod
    def done(self, files: Iterable[Path], folder: str | None) -> None:
        """All files that came."""

    @abstractmethod
    def remark(self, text: str) -> None:
        """Something for people, which programs see for themselves."""

    def error(self, error: IceyeError, code: Exit) -> None:  # noqa: ARG002 - the shell has it
        """What ended the command."""
        note(f"{PROGRAM} {self.name}: {told(error)}")

    def bug(self, error: Exception) -> None:  # noqa: B027 - programs are told more
        """What nobody has foreseen ended it; people are told in other words."""

    def stopped(self, signal: str, go_on: str | None) -> None:  # noqa: ARG002 - whoever sent it knows
        """Somebody ended it; `go_on` is the command that goes on with it."""
        note("stopped" if go_on is None else f"stopped; this goes on:\n  {go_on}")


def note(text: str) -> None:
    """A message for whoever sits there. Nobody may, and that is no error."""
    if sys.stderr is None:
        return
    try:
        if sys.stderr.isatty():
            columns = shutil.get_terminal_size().columns
            text = "\n".join(_between_words(line, columns) for line in text.split("\n"))
        print(text, file=sys.stderr, flush=True)
    except (OSError, ValueError):
        forget(2)


def forget(stream: int) -> None:
    """What is not written yet to the standard output (1) or error (2) goes nowhere: Python would try it once more."""
    with suppress(OSError, ValueError), Path(os.devnull).open("wb") as nowhere:
        os.dup2(nowhere.fileno(), stream)


def _between_words(line: str, columns: int) -> str:
    """A line that is too long goes on in the next one; a command, which is indented, stays as it is."""
    if line.startswith(" ") or len(line) <= columns:
        return line
    return textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)


class TextConsole(Console):
    """Standard output for people. `closed` is called where nobody reads it any more."""

    def __init__(self, closed: Callable[[], None] | None = None) -> None:
        plain = sys.stdout is None or not sys.stdout.isatty() or os.environ.get("TERM") == "dumb"
        # A size of 0 says that nobody knows it; rich would believe it.
        known = {name: value for name, value in os.environ.items() if name not in {"COLUMNS", "LINES"} or value != "0"}
        super().__init__(
            file=sys.stdout,
            force_terminal=False if plain else None,
            highlight=False,
            markup=False,
            emoji=False,
            _environ=known,
        )
        self.plain = plain
        self.failure: OSError | None = None
        """Why the output could not be written, where that has happened. Displays go on without it."""
        self._closed = closed

    def print(self, *objects: Any, **options: Any) -> None:
        """As ever; and remember it where it fails."""
        try:
            super().print(*objects, **options)
        except OSError as error:
            self.failure = error
            raise

    def on_broken_pipe(self) -> None:
        """rich would end the program here, with a code of its own."""
        if self._closed is not None:
            self._closed()
        raise BrokenPipeError


class TextOutput(Output):
    """Lines and live displays for people."""

    def __init__(self, *, name: str, links: bool = False, closed: Callable[[], None] | None = None) -> None:
        super().__init__(name=name, links=links)
        self.console = TextConsole(closed)

    def task(self, task: Task, *, alone: bool = False) -> None:
        if alone:
            self._facts(facts.of_task(task))
        else:
            self._row(facts.task_row(task))

    def product(self, product: Product) -> None:
        self._row(facts.product_row(product))
        if self.links:
            self._links((key, asset.href) for key, asset in product.assets.items())

    def derivative(self, derivative: Derivative) -> None:
        self._row(facts.derivative_row(derivative))
        if self.links:
            self._links((asset.type or "", asset.href) for asset in derivative.assets)

    def check(self, check: Check) -> None:
        mark, style = facts.MARKS[check.state]
        if self.console.options.ascii_only:
            mark = {"\u2713": "ok", "\u2717": "!!"}.get(mark, mark)
        label = Text.assemble((f"{mark:<2} ", style), (f"{check.name:<19}", "bold"))
        self._beside(label, Text(harmless(check.detail)), _LABEL)
        if check.next:
            self._beside(Text(" " * _LABEL), Text(harmless(check.next), "yellow"), _LABEL)

    @contextmanager
    def following(self, wait: "TaskWait | DerivativeWait", clock: Clock) -> Iterator[Following]:
        from ..display import following

        with following(wait, clock=clock, console=self.console) as shown:
            yield _Linked(shown, self._fresh) if self.links else shown
        self._see_that_it_was_written()

    @contextmanager
    def batching(self, batch: "Batch", journal: str, rate: float | None) -> Iterator[Batching]:
        from ..display import batching

        with batching(batch, journal=journal, rate=rate, console=self.console) as shown:
            yield _Linked(shown, self._fresh) if self.links else shown
        self._see_that_it_was_written()

    def _see_that_it_was_written(self) -> None:
        """What was to be done is done; whoever reads the output later must know that it is not whole."""
        if self.console.failure is not None:
            raise self.console.failure

    def _fresh(self, derivatives: Iterable[Derivative]) -> None:
        for derivative in derivatives:
            self._links((str(derivative.type), asset.href) for asset in derivative.assets)

    async def fetched(self, download: "Download[Path]") -> tuple[Path, ...]:
        paths = await bars(download, console=self.console)
        self._see_that_it_was_written()
        return paths

    def report(self, report: BatchReport, journal: str, *, running: bool | None = None) -> None:
        if running is None:
            return
        if not self.console.plain:
            state = "a batch runs over it now" if running else "nothing runs over it now"
            self._print(Text(f"{journal}: {state}"))
            self._print(Text(str(report).partition("\n")[0], "bold"))
        for row in facts.outcome_rows(report, None if self.console.plain else _SHOWN):
            self._row(row)
        total = len(report.failed) + len(report.waiting) + len(report.completed)
        if total > _SHOWN and not self.console.plain:
            self._print(Text(f"and {total - _SHOWN:,} more; in a pipe all are told", "bright_black"))

    def done(self, files: Iterable[Path], folder: str | None) -> None:
        """The displays have said it, but for where."""
        count = len(tuple(files))
        if folder is not None and count:
            self._print(Text(f"{count} {'file' if count == 1 else 'files'} in {harmless(folder)}"))

    def remark(self, text: str) -> None:
        note(harmless(text))

    def _row(self, cells: "list[facts.Cell]") -> None:
        if self.console.plain:
            self._write("\t".join(cell.text for cell in cells))
            return
        for line in facts.lines([cell._replace(text=self._written(cell.text)) for cell in cells], self.console.width):
            self.console.print(line)

    def _facts(self, pairs: "list[tuple[str, str]]") -> None:
        longest = max(len(name) for name, _ in pairs)
        for name, value in pairs:
            if self.console.plain:
                self._print(Text(f"{name}: {value}"))
            else:
                self._beside(Text(name, "bright_black"), Text(value), longest + 1)

    def _links(self, pairs: Iterable[tuple[str, str]]) -> None:
        for key, href in pairs:
            self._write(f"{harmless(key)}\t{harmless(href)}")

    def _beside(self, label: Text, value: Text, columns: int) -> None:
        """In a terminal; elsewhere on one line, however long."""
        value = Text(self._written(value.plain), value.style)
        if self.console.plain:
            self.console.print(Text(f"{label.plain:<{columns}} {value.plain}"), soft_wrap=True)
        else:
            self.console.print(facts.beside(label, value, columns, self.console.width))

    def _write(self, line: str) -> None:
        """Exactly this line; rich makes spaces of tabs."""
        if not self.console.plain:
            self.console.print(Text(self._written(line.replace("\t", "  "))), soft_wrap=True)
        elif sys.stdout is not None:
            print(line)

    def _print(self, text: Text) -> None:
        self.console.print(Text(self._written(text.plain), text.style), soft_wrap=True)

    def _written(self, text: str) -> str:
        """What the output's encoding has no letter for is escaped."""
        encoding = self.console.encoding
        return text.encode(encoding, "backslashreplace").decode(encoding)


class _Linked:
    """Passes on what it is told, and then has the links of what arrived shown, too."""

    def __init__(self, shown: Any, fresh: Callable[[Iterable[Derivative]], None]) -> None:
        self._shown = shown
        self._fresh = fresh

    def updated(self, update: Task | DerivativeUpdate) -> None:
        self._shown.updated(update)
        if isinstance(update, DerivativeUpdate):
            self._fresh(update.fresh)

    def told(self, event: Any) -> None:
        self._shown.told(event)
        if isinstance(event, Updated):
            self._fresh(event.update.fresh)

    def requested(self, event: Event) -> None:
        self._shown.requested(event)


def new_output(*, as_json: bool, name: str, links: bool, closed: Callable[[], None]) -> Output:
    """What this command is to tell."""
    if as_json:
        from .jsonlines import JsonOutput

        return JsonOutput(name=name, links=links)
    return TextOutput(name=name, links=links, closed=closed)
