"""What a board is drawn on: so many columns, in which things are rows with a mark and a label."""

from typing import NamedTuple

from rich.cells import cell_len
from rich.console import Console, ConsoleOptions
from rich.text import Text

from .pens import Pens

GAP = 2
"""Columns between two things."""
WIDE, NARROW, _WIDEST = 64, 36, 104
"""Columns from which a thing has one line with everything, and two lines; more would only put apart what is one."""
_LABEL = 16
"""Columns that a label has at most, beside others."""


class Sheet(NamedTuple):
    """Where one drawing goes. `now` is its moment."""

    console: Console
    pens: Pens
    width: int
    now: float

    @classmethod
    def of(cls, console: Console, options: ConsoleOptions, now: float) -> "Sheet":
        return cls(console, Pens.of(options), min(options.max_width, _WIDEST), now)

    @property
    def is_wide(self) -> bool:
        return self.width >= WIDE

    @property
    def is_narrow(self) -> bool:
        """Whether there is hardly room for one thing on a line."""
        return self.width < NARROW

    @property
    def indent(self) -> str:
        """As wide as a mark."""
        return self.pens.mark("")

    def room(self, line: Text | str, *, least: int = 0) -> int:
        """Columns that are left behind it."""
        return max(least, self.width - cell_len(line if isinstance(line, str) else line.plain))

    def row(self, mark: str, style: str, label: str, longest: int, label_style: str = "") -> Text:
        """The mark, and the label in a column as wide as the longest; without a column where there is no room."""
        line = Text.assemble((self.pens.mark(mark), style))
        if self.is_narrow:
            return line.append(self.pens.cut_to(label, self.room(line)), label_style)
        width = min(longest, _LABEL if self.is_wide else self.width // 3)
        return line.append(self.pens.cell(label, width), label_style).append(" " * GAP)

    def below(self, text: str, style: str = "") -> Text:
        """A line under a row."""
        return Text(self.indent).append(self.pens.cut_end(text, self.room(self.indent)), style)

    def wrapped(self, mark: str, text: str, style: str, most: int) -> list[Text]:
        """The text on as many lines as it needs, and at most so many."""
        lines = Text(self.pens.written(text)).wrap(self.console, self.room(self.indent, least=1))
        shown = [line.plain.rstrip() for line in lines[:most]]
        if len(lines) > most > 0:
            rest = " ".join(line.plain.strip() for line in lines[most - 1 :])
            shown[-1] = self.pens.cut_end(rest, self.room(self.indent, least=1))
        marks = [self.pens.mark(mark), *[self.indent] * len(shown)]
        return [Text(before + line, style) for before, line in zip(marks, shown, strict=False)]

    def grid(self, cells: list[tuple[str, str]]) -> list[Text]:
        """Four cells with their styles on a line, or two, or one: each begins where those above it do."""
        across = 4 if self.is_wide else 1 if self.is_narrow else 2
        width = self.room(self.indent) // across
        if across == 1:
            return [self.below(text, style) for text, style in cells if text]
        lines = []
        for start in range(0, len(cells), across):
            *before, (last, style) = cells[start : start + across]
            line = Text(self.indent)
            for text, its_style in before:
                line.append(self.pens.cell(text, width - 1), its_style).append(" ")
            lines.append(line.append(self.pens.cut_end(last, self.room(line)), style))
        return lines
