"""How far a download is, by what it told: each file under way, and the whole. Files that are over are only counted."""

import math
from pathlib import Path, PurePosixPath

from attrs import define, field, frozen

from ..events import DownloadEvent, Failed, Finished, Interrupted, Progressed, Started, Totals
from .text import harmless, in_words, part, size

_SILENCE = 10.0
"""Seconds without news after which a rate is no longer true."""
_LONG = 100 * 86_400.0
"""Seconds. Who would have to wait longer is not told how long."""


def name(event: DownloadEvent) -> str:
    """Of the event's file, without its folder, fit to be shown."""
    path = event.path
    return harmless(path.name if isinstance(path, Path) else PurePosixPath(path).name or path)


def reason(event: Failed | Interrupted) -> str:
    """The error's own words, but for the name of the asset: the file is named already."""
    return in_words(event.error).removeprefix(f"{harmless(event.asset)}: ")


@frozen
class Pace:
    """Bytes on their way: how many, of how many, and how fast when that was heard."""

    received: int = 0
    size: int | None = None
    _rate: float = 0.0
    _heard: float = -math.inf

    def rate(self, now: float) -> float:
        """Bytes a second, 0.0 where there was no news for a while."""
        return self._rate if now - self._heard < _SILENCE else 0.0

    def left(self, now: float) -> float | None:
        """Seconds until all is there, at this rate; None where nobody can tell."""
        rate = self.rate(now)
        if self.size is None or not rate > 0:
            return None
        left = max(0, self.size - self.received) / rate
        return left if left < _LONG else None

    @property
    def amount(self) -> str:
        """As a person reads it."""
        return size(self.received) if self.size is None else part(self.received, self.size)

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the size is unknown."""
        if self.size is None:
            return None
        return min(1.0, self.received / self.size) if self.size > 0 else 1.0


@define
class Row:
    """A file under way. `resumes` is when it goes on, after it was interrupted."""

    name: str
    pace: Pace = Pace()
    resumes: float | None = None


@define
class Account:
    """Tell it each event, and what it holds is true again. `files` is None until the download told how many it has."""

    under_way: dict[str, Row] = field(factory=dict)
    files: int | None = None
    known: int = 0
    failed: int = 0
    _whole: int = 0
    _bytes: int = 0
    _totals: Totals | None = None
    _heard: float = -math.inf

    def told(self, event: DownloadEvent, now: float) -> None:
        """`now` is the moment at which it was told."""
        if isinstance(event, Finished):
            self.under_way.pop(event.asset, None)
            self._whole, self._bytes = self._whole + 1, self._bytes + event.size
            self.known += event.known
        elif isinstance(event, Failed):
            self.under_way.pop(event.asset, None)
            self.failed += 1
        elif isinstance(event, Started | Progressed | Interrupted):
            # By asset: what it is called may become known later.
            row = self.under_way.setdefault(event.asset, Row(name(event)))
            row.name = name(event)
            self._go_on(row, event, now)

    def _go_on(self, row: Row, event: Started | Progressed | Interrupted, now: float) -> None:
        row.resumes = None
        if isinstance(event, Started):
            row.pace = Pace(event.resumed, event.size, 0.0, now)
        elif isinstance(event, Progressed):
            row.pace = Pace(event.received, event.size, event.rate, now)
            self._totals, self._heard, self.files = event.totals, now, event.totals.files
        else:
            row.pace = Pace(event.received, row.pace.size, 0.0, now)
            row.resumes = now + event.wait

    def ended(self, files: int) -> None:
        """The download said itself how many files are whole at its end."""
        self.files = self._whole = files

    @property
    def anything(self) -> bool:
        """Whether it was told of any file."""
        return bool(self.under_way or self.files) or self._whole + self.failed > 0

    # The download's own sums are made elsewhere at the same time: they may be a little older than what was told since,
    # but they hold what happened before anybody looked.

    @property
    def finished(self) -> int:
        """So many files are whole."""
        return max(self._whole, 0 if self._totals is None else self._totals.finished)

    @property
    def whole(self) -> Pace:
        """All files together."""
        received = self._bytes + sum(row.pace.received for row in self.under_way.values())
        if self._totals is None:
            return Pace(received)
        return Pace(max(received, self._totals.received), self._totals.size, self._totals.rate, self._heard)

    @property
    def share(self) -> float | None:
        """Of the whole that is over, from 0 to 1: by bytes, or by files while the size of some is not known."""
        by_bytes = self.whole.share
        if by_bytes is not None or not self.files:
            return by_bytes
        return min(1.0, (self.finished + self.failed) / self.files)
