"""How a demo looks: live where there is a terminal and rich is installed, else plain lines; or JSON lines."""

import contextlib
import json
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from ..display.text import duration, harmless, size
from ..models import DerivativeUpdate, Task

_DRAWN = "\u2713\u280b\u2026"
"""What the live screen draws beside plain letters."""

Elapsed = Callable[[], float]
"""Sandbox seconds since the task was created."""


class Screen:
    """Plain lines: a line for whatever is new."""

    def __init__(self) -> None:
        self._elapsed: Elapsed = lambda: 0.0
        self._files: list[tuple[str, Path]] = []

    @contextmanager
    def follow(self, task: Task, types: Sequence[str], elapsed: Elapsed) -> Iterator[None]:
        """Everything until the last file has arrived happens inside."""
        self._elapsed = elapsed
        self._say(f"task {task.id} created in a local sandbox, whose clock runs fast")
        self._say(f"waiting for the picture, and for {', '.join(types)}")
        yield

    def updated(self, update: DerivativeUpdate) -> None:
        """The service listed derivatives."""
        if update.fresh:
            missing = ", ".join(sorted(update.missing)) or "nothing"
            self._say(f"ready: {', '.join(sorted(update.ready))}; missing: {missing}")

    def arrived(self, what: str, path: Path) -> None:
        """A file is whole."""
        self._files.append((what, path))
        self._say(f"{what}: {harmless(path.name)}, {size(path.stat().st_size)}")

    def finished(self, folder: Path) -> None:
        """All is there."""
        for what, path in self._files:
            if (count := detections(path)) is not None:
                print(f"{what}: {count} made-up detections")
        print(f"{len(self._files)} files in {folder.resolve()}")

    def _say(self, text: str) -> None:
        print(f"[{duration(self._elapsed()):>12}] {text}", flush=True)


class JsonScreen(Screen):
    """One JSON object on each line."""

    @contextmanager
    def follow(self, task: Task, types: Sequence[str], elapsed: Elapsed) -> Iterator[None]:
        self._elapsed = elapsed
        self._tell("task", task_id=task.id, status=task.status, types=list(types))
        yield

    def updated(self, update: DerivativeUpdate) -> None:
        self._tell(
            "update",
            ready=sorted(update.ready),
            missing=sorted(update.missing),
            fresh=[derivative.id for derivative in update.fresh],
            complete=update.complete,
        )

    def arrived(self, what: str, path: Path) -> None:
        self._files.append((what, path))
        self._tell("file", type=what, path=str(path), size=path.stat().st_size, detections=detections(path))

    def finished(self, folder: Path) -> None:
        self._tell("done", folder=str(folder.resolve()), files=len(self._files))

    def _tell(self, event: str, **facts: Any) -> None:
        print(json.dumps({"event": event, "elapsed": round(self._elapsed(), 1), **facts}), flush=True)


class LiveScreen(Screen):
    """A table that is redrawn in place. Needs rich."""

    def __init__(self) -> None:
        super().__init__()
        self._update: DerivativeUpdate | None = None
        self._types: Sequence[str] = ()
        self._task_id = ""

    @contextmanager
    def follow(self, task: Task, types: Sequence[str], elapsed: Elapsed) -> Iterator[None]:
        from rich.live import Live

        self._elapsed, self._types, self._task_id = elapsed, types, task.id
        with Live(get_renderable=self._table, refresh_per_second=8, transient=True):
            yield
        self._print(self._table())

    def updated(self, update: DerivativeUpdate) -> None:
        self._update = update

    def arrived(self, what: str, path: Path) -> None:
        self._files.append((what, path))

    def finished(self, folder: Path) -> None:
        from rich.text import Text

        self._print(Text(f"{len(self._files)} files in {folder.resolve()}; the detections are made up"))

    def _table(self) -> Any:
        from rich.console import Group
        from rich.spinner import Spinner
        from rich.table import Table
        from rich.text import Text

        ready = frozenset() if self._update is None else self._update.ready
        complete = self._update is not None and self._update.complete
        state = "complete" if complete else f"{len(ready)} of {len(self._types)} ready"
        title = Text(f"task {self._task_id[:8]}  {state}  {duration(self._elapsed())} in the sandbox", style="italic")
        table = Table(box=None, pad_edge=False)
        for heading in ("", "derivative", "file", "size", "detections"):
            right = heading in {"size", "detections"}
            fits = heading != "file"
            table.add_column(heading, justify="right" if right else "left", overflow="ellipsis", no_wrap=fits)
        files = dict(self._files)
        for kind in (*self._types, *(["quicklook"] if complete else [])):
            path = files.get(kind)
            if path is None:
                waits = "download" if kind in ready else "not listed yet" if self._update is None else "being made"
                table.add_row(Spinner("dots"), kind, Text(waits, style="dim"), "", "")
            else:
                count = detections(path)
                table.add_row(
                    Text("\u2713", style="green"),
                    Text(kind, style="bold"),
                    harmless(path.name),
                    size(path.stat().st_size),
                    "" if count is None else str(count),
                )
        return Group(title, table)

    def _print(self, renderable: Any) -> None:
        from rich.console import Console

        Console().print(renderable)


def detections(path: Path) -> int | None:
    """How many features a file holds, where it is GeoJSON."""
    if path.suffix != ".geojson":
        return None
    return len(json.loads(path.read_bytes())["features"])


def _can_show(text: str) -> bool:
    try:
        text.encode(sys.stdout.encoding)
    except UnicodeEncodeError:
        return False
    return True


def screen_for(*, as_json: bool) -> Screen:
    """The screen that fits what the output goes to."""
    if as_json:
        return JsonScreen()
    if sys.stdout is not None and sys.stdout.isatty() and os.environ.get("TERM") != "dumb" and _can_show(_DRAWN):
        with contextlib.suppress(ImportError):
            import rich  # noqa: F401 - an extra

            return LiveScreen()
    return Screen()
