"""How fast a file comes, and how far all files of a download are together."""

import threading
import time
from collections import deque
from typing import Any

from ..events import Totals


class Meter:
    """Bytes a second over the last few seconds."""

    _SPAN = 3.0

    def __init__(self) -> None:
        self._marks: deque[tuple[float, int]] = deque()

    def rate(self, received: int, now: float) -> float:
        """With so many bytes by now."""
        marks = self._marks
        if marks and received < marks[-1][1]:
            marks.clear()
        marks.append((now, received))
        while len(marks) > 2 and now - marks[1][0] > self._SPAN:
            marks.popleft()
        passed = now - marks[0][0]
        return (received - marks[0][1]) / passed if passed > 0 else 0.0


class Tally:
    """All files of a download, counted by the threads that carry them."""

    def __init__(self, files: int) -> None:
        self._files, self._finished = files, 0
        self._lock = threading.Lock()
        self._received: dict[Any, int] = {}
        self._sizes: dict[Any, int] = {}
        self._resumed: dict[Any, int] = {}
        self._meter = Meter()

    def began(self, job: Any, resumed: int) -> None:
        """So many bytes of it were there before: they do not count for the rate."""
        with self._lock:
            self._resumed.setdefault(job, resumed)

    def totals(self, job: Any, received: int, size: int | None) -> Totals:
        """The whole, with so many bytes of this file."""
        with self._lock:
            self._received[job] = received
            if size is not None:
                self._sizes[job] = size
            everything = sum(self._received.values())
            brought = max(0, everything - sum(self._resumed.values()))
            return Totals(
                files=self._files,
                finished=self._finished,
                received=everything,
                size=sum(self._sizes.values()) if len(self._sizes) == self._files else None,
                rate=self._meter.rate(brought, time.monotonic()),
            )

    def done(self, job: Any, size: int, *, known: bool) -> None:
        """It is whole."""
        with self._lock:
            self._finished += 1
            self._received[job] = self._sizes[job] = size
            if known:
                self._resumed[job] = size

    def lost(self, job: Any) -> None:
        """It will not come: what is missing of it is missing from the whole no more."""
        with self._lock:
            self._sizes[job] = self._received.get(job, 0)
