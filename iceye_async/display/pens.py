"""What can be written on a console: lines and marks, or plain letters where its encoding has none of these."""

from itertools import groupby
from typing import NamedTuple

from rich.cells import cell_len, set_cell_size
from rich.console import ConsoleOptions
from rich.text import Text

FAINT = "bright_black"
_PULSE = 12.0
"""Columns a second."""
_TURN = 4.0
"""Steps of a spinner in a second."""


class Pens(NamedTuple):
    """What can be written on a console."""

    heavy: str
    half: str
    light: str
    cut: str
    whole: str
    failed: str
    under_way: str
    making: str
    missing: str
    stopped: str
    spinner: str
    encoding: str

    @classmethod
    def of(cls, options: ConsoleOptions) -> "Pens":
        if options.ascii_only or options.legacy_windows:
            return cls("#", "", "-", "..", "ok", "!!", ">", "o", ".", "!", "-\\|/", options.encoding)
        return cls("━", "╾", "─", "…", "✓", "✗", "↓", "○", "·", "■", "⠋⠙⠹⠸⠼⠴⠦⠧⠇⠏", options.encoding)

    def written(self, text: str) -> str:
        """The text with a question mark for whatever the console cannot encode."""
        return text.encode(self.encoding, "replace").decode(self.encoding)

    def cell(self, text: str, width: int, *, right: bool = False) -> str:
        """Exactly so many columns; what is too long loses its middle, for files often differ only at the end."""
        text = self.written(text)
        missing = width - cell_len(text)
        if missing >= 0:
            return " " * missing + text if right else text + " " * missing
        keep = max(0, width - len(self.cut))
        head = set_cell_size(text, keep // 3)
        tail = set_cell_size(text[::-1], keep - keep // 3)[::-1]
        return set_cell_size(head + self.cut + tail, width)

    def cut_to(self, text: str, width: int) -> str:
        """At most so many columns; what is too long loses its middle."""
        return self.cell(text, max(0, min(width, cell_len(self.written(text)))))

    def cut_end(self, text: str, width: int) -> str:
        """At most so many columns; what is too long loses its end."""
        text = self.written(text)
        if cell_len(text) <= width:
            return text
        return set_cell_size(set_cell_size(text, max(0, width - len(self.cut))) + self.cut, max(0, width))

    def mark(self, mark: str) -> str:
        """A mark and the gap after it: each is as wide as any other."""
        return mark.ljust(max(len(self.whole), len(self.failed)) + 1)

    def spin(self, now: float) -> str:
        """What shows that something goes on."""
        return self.spinner[int(now * _TURN) % len(self.spinner)]

    def bar(self, share: float | None, width: int, style: str, now: float) -> Text:
        """So much of the width; something that moves where the share is unknown."""
        if share is None:
            heavy = max(1, width // 3)
            start = int(now * _PULSE) % width
            line = (self.heavy * heavy + self.light * (width - heavy)) * 2
            pieces = groupby(line[width - start :][:width])
            return Text.assemble(*(("".join(run), style if char == self.heavy else FAINT) for char, run in pieces))
        halves = int(share * width * 2)
        done = self.heavy * (halves // 2) + self.half * (halves % 2)
        return Text.assemble((done, style), (self.light * (width - len(done)), FAINT))
