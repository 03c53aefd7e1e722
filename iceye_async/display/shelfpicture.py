"""How types and their files are drawn: each file on its own while there is room, else a row for each type.

✓ DC_VESSELS   vessel-detections.geojson                 61 kB        17 detections
↓ DC_AIRCRAFT  aircraft-detections.geojson  ━━╾──  1.2 of 3.4 MB    48 MB/s    46 s
○ DC_VEHICLES  being made
"""

import math
from collections import Counter
from collections.abc import Iterator
from typing import NamedTuple

from rich.cells import cell_len
from rich.text import Text

from .account import Row
from .pens import FAINT
from .picture import goes_on
from .sheet import GAP, Sheet
from .shelf import File, Kind, Shelf, counted
from .text import duration, size

_AMOUNT, _RATE, _LEFT = 13, 8, 11
"""Columns: `9.9 of 999 MB`, `9.9 MB/s`, `23 h 59 min`."""
_TAIL = _RATE + GAP + _LEFT
_LEAST_BAR, _LONGEST_BAR = 6, 24

Entry = list[Text]
"""The lines of one thing."""


class ShelfPicture(NamedTuple):
    """One drawing of a shelf; `longest` is how wide the names of its types are."""

    sheet: Sheet
    shelf: Shelf
    longest: int

    def entries(self) -> Iterator[Entry]:
        """Every file on its own, each under its type."""
        under_way = self.shelf.under_way
        for kind in self.shelf.all:
            yield from self._kind(kind, [(file, row) for owner, file, row in under_way if owner is kind])

    def sums(self) -> Iterator[Entry]:
        """A row for each type."""
        moving = Counter(id(kind) for kind, _, _ in self.shelf.under_way)
        for kind in self.shelf.all:
            yield self._sum(kind, moving[id(kind)])

    def _kind(self, kind: Kind, under_way: list[tuple[File, Row]]) -> Iterator[Entry]:
        label = kind.name
        if kind.whole + kind.failed > len(kind.files):
            yield self._sum(kind)
            label, files = "", []
        else:
            files = kind.files
            if (files or under_way) and not kind.ready:
                yield [self._state(kind)]
                label = ""
        twins = Counter(file.short for file in [*files, *(file for file, _ in under_way)])
        for file in files:
            yield self._file(label, file, twins[file.short] > 1)
            label = ""
        for file, row in under_way:
            yield self._under_way(label, file, row, twins[file.short] > 1)
            label = ""
        if label and not files and not under_way:
            yield [self._state(kind)]

    # --- types -----------------------------------------------------------------------------------------------------

    def _state(self, kind: Kind) -> Text:
        """A type by itself."""
        pens = self.sheet.pens
        if kind.ready:
            mark, style, word = pens.whole, "green", "ready"
        elif kind.listed:
            mark, style, word = pens.making, "cyan", "being made"
        else:
            mark, style, word = pens.missing, FAINT, "not there yet"
        line = self._row(mark, style, kind.name)
        return line.append(pens.cut_end("" if self.sheet.is_narrow else word, self.sheet.room(line)), FAINT)

    def _sum(self, kind: Kind, moving: int = 0) -> Entry:
        """A type with the sum of its files."""
        if kind.whole + kind.failed + moving == 0:
            return [self._state(kind)]
        pens = self.sheet.pens
        mark, style = (pens.whole, "green") if kind.ready else (pens.making, "cyan")
        if kind.failed:
            mark, style = pens.failed, "red"
        failed = f", {kind.failed:,} failed" if kind.failed else ""
        going = f", {moving:,} under way" if moving else ""
        what = f"{kind.whole:,} {'file' if kind.whole == 1 else 'files'}{failed}{going}"
        return self._lines(self._row(mark, style, kind.name), what, size(kind.bytes), counted(kind.found))

    # --- files -----------------------------------------------------------------------------------------------------

    def _file(self, label: str, file: File, has_twin: bool) -> Entry:
        sheet = self.sheet
        if file.why:
            line = self._row(sheet.pens.failed, "red", label)
            return [line.append(sheet.pens.cut_end(f"{file.short}: {file.why}", sheet.room(line)), "red")]
        tail = counted(file.found) or ("there already" if file.known else "")
        line = self._row(sheet.pens.whole, "green", label)
        return self._lines(line, file, size(file.size), tail, has_twin=has_twin)

    def _lines(self, line: Text, what: File | str, count: str, tail: str, *, has_twin: bool = False) -> Entry:
        """Its name, how much it is, and what is in it."""
        sheet, cell = self.sheet, self.sheet.pens.cell
        if sheet.is_wide:
            room = sheet.room(line) - _AMOUNT - _TAIL - 2 * GAP
            line.append(self._named(what, room, has_twin=has_twin)).append(" " * GAP)
            line.append(cell(count, _AMOUNT, right=True)).append(" " * GAP)
            return [line.append(cell(tail, _TAIL, right=True), FAINT)]
        told = ", ".join(filter(None, (count, tail.replace("detections", "found") if sheet.is_narrow else tail)))
        return [self._with_name(line, what, has_twin=has_twin), sheet.below(told, FAINT)]

    def _under_way(self, label: str, file: File, row: Row, has_twin: bool) -> Entry:
        sheet, cell = self.sheet, self.sheet.pens.cell
        colour = "cyan" if row.resumes is None else "yellow"
        line = self._row(sheet.pens.under_way, colour, label)
        if sheet.is_wide:
            room = sheet.room(line) - _AMOUNT - _TAIL - 2 * GAP
            bar = min(_LONGEST_BAR, max(_LEAST_BAR, room // 3))
            line.append(self._named(file, room - bar - GAP, has_twin=has_twin)).append(" " * GAP)
            line.append_text(self._bar(row, bar, colour)).append(" " * GAP)
            line.append(cell(row.pace.amount, _AMOUNT, right=True)).append(" " * GAP)
            return [line.append_text(self._pace(row, _TAIL))]
        first, second = self._with_name(line, file, has_twin=has_twin), Text(sheet.indent)
        tail = 0 if sheet.is_narrow else _LEFT + 4 + GAP
        bar = sheet.room(second) - _AMOUNT - GAP - tail
        if bar >= _LEAST_BAR - GAP:
            second.append_text(self._bar(row, bar, colour)).append(" " * GAP)
        # Behind a bar it ends where the one below does.
        amount = sheet.pens.cut_end(row.pace.amount, sheet.room(second))
        second.append(cell(amount, _AMOUNT, right=True) if bar >= _LEAST_BAR - GAP else amount, FAINT)
        if tail:
            second.append(" " * GAP).append_text(self._pace(row, tail - GAP))
        elif row.resumes is not None:
            second = sheet.below(goes_on(row.resumes - sheet.now), colour)
        return [first, second]

    def _bar(self, row: Row, width: int, colour: str) -> Text:
        return self.sheet.pens.bar(row.pace.share, width, colour, self.sheet.now)

    def _pace(self, row: Row, width: int) -> Text:
        """How fast it comes, where there is room for that, and how long it will take; or when it goes on."""
        cell, now = self.sheet.pens.cell, self.sheet.now
        if row.resumes is not None:
            return Text(cell(goes_on(row.resumes - now), width, right=True), "yellow")
        if row.pace.share == 1.0:
            # It is looked over and gets its name: no more bytes come.
            return Text(" " * width)
        left = row.pace.left(now)
        told = "" if left is None else duration(math.ceil(left))
        if width < _TAIL:
            return Text(cell(told, width, right=True), FAINT)
        rate = cell(f"{size(int(row.pace.rate(now)))}/s", _RATE, right=True)
        return Text(rate + cell(told, width - _RATE, right=True), FAINT)

    # --- rows ------------------------------------------------------------------------------------------------------

    def _row(self, mark: str, style: str, label: str) -> Text:
        return self.sheet.row(mark, style, label, self.longest)

    def _with_name(self, line: Text, what: File | str, *, has_twin: bool) -> Text:
        """The name behind the label; where there is no room for both, instead of one that is missing."""
        if self.sheet.is_narrow and len(line.plain) > len(self.sheet.indent):
            return line
        return line.append(self._named(what, self.sheet.room(line), has_twin=has_twin).rstrip())

    def _named(self, what: File | str, width: int, *, has_twin: bool) -> str:
        """A file's name as far as it fits: without the id that it begins with, if no other is called so then."""
        cell = self.sheet.pens.cell
        if isinstance(what, str):
            return cell(what, max(0, width))
        whole = has_twin or cell_len(what.name) <= width
        return cell(what.name if whole else what.short, max(0, width))
