"""What a command puts out with `--json`: an object on each line, flushed at once, in ASCII. See docs/command-line.md.

What a program reads stays as it is: fields are added, none is renamed or taken away.
"""

import json
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..batch import BatchEvent, BatchReport, Downloaded, Finished, Updated
from ..batch import Failed as TaskFailed
from ..clock import Clock
from ..errors import ApiError, IceyeError, RateLimited, TransportError
from ..events import DownloadEvent, Event, Failed, Interrupted, Progressed
from ..events import Finished as FileFinished
from ..models import Derivative, DerivativeUpdate, Product, Task
from ..protocol.links import mask_text
from .exits import Exit
from .output import Batching, Check, Following, Output
from .words import told, without_secrets

if TYPE_CHECKING:
    from ..batch.batch import Batch
    from ..downloads import Download
    from ..waits import DerivativeWait, TaskWait

_ONCE = frozenset({"tasks create", "tasks cancel"})
"""What costs money each time that it is done."""
_APART = 1.0
"""Seconds between two lines of progress."""


class JsonOutput(Output):
    """JSON lines."""

    def __init__(self, *, name: str, links: bool = False) -> None:
        super().__init__(name=name, links=links)
        self._progress = -_APART

    def tell(self, event: str, **said: Any) -> None:
        """One line."""
        if sys.stdout is not None:
            print(json.dumps({"event": event, **said}, default=_plain), flush=True)

    def task(self, task: Task, *, alone: bool = False) -> None:  # noqa: ARG002 - each line is complete
        self.tell("task", task_id=task.id, status=task.status, task=self._document(task.document))

    def product(self, product: Product) -> None:
        facts = {"task_id": product.task_id, "id": product.id, "type": product.product_type}
        self.tell("product", **facts, product=self._document(product.document))

    def derivative(self, derivative: Derivative) -> None:
        self.tell("derivative", task_id=derivative.task_id, **self._derivative(derivative))

    def check(self, check: Check) -> None:
        self.tell("check", name=check.name, state=check.state, detail=check.detail, next=check.next or None)

    @contextmanager
    def following(self, wait: "TaskWait | DerivativeWait", clock: Clock) -> Iterator[Following]:  # noqa: ARG002
        yield _JsonFollowing(self, wait.task_id)

    @contextmanager
    def batching(self, batch: "Batch", journal: str, rate: float | None) -> Iterator[Batching]:  # noqa: ARG002
        yield _JsonBatching(self)

    async def fetched(self, download: "Download[Path]") -> tuple[Path, ...]:
        async for event in download:
            self.file(event)
        return await download

    def file(self, event: DownloadEvent) -> None:
        """Something of a file on its way."""
        match event:
            case Progressed(totals=totals) if time.monotonic() >= self._progress + _APART:
                self._progress = time.monotonic()
                size = {"received": totals.received, "size": totals.size, "rate": round(totals.rate)}
                self.tell("progress", files=totals.files, finished=totals.finished, **size)
            case Interrupted():
                facts = {"received": event.received, "wait": round(event.wait, 3), "error": error_facts(event.error)}
                self.tell("interrupted_file", asset=event.asset, **facts)
            case FileFinished():
                self.tell("file", **_file(event))
            case Failed():
                self.tell("failed_file", asset=event.asset, path=_absolute(event.path), error=error_facts(event.error))

    def step(self, update: DerivativeUpdate) -> dict[str, Any]:
        return {
            "ready": sorted(update.ready),
            "missing": sorted(update.missing),
            "fresh": [self._derivative(one) for one in update.fresh],
        }

    def report(self, report: BatchReport, journal: str, *, running: bool | None = None) -> None:
        for row in () if running is None else report.rows():
            self.tell("outcome", **row)
        more = {} if running is None else {"running": running}
        counts = {
            "completed": len(report.completed),
            "failed": len(report.failed),
            "waiting": len(report.waiting),
            "requests": report.requests,
        }
        self.tell("report", journal=Path(journal).absolute(), **counts, **more)

    def done(self, files: Iterable[Path], folder: str | None) -> None:
        self.tell("done", files=len(tuple(files)), folder=None if folder is None else Path(folder).absolute())

    def remark(self, text: str) -> None:
        """No line at all says it."""

    def error(self, error: IceyeError, code: Exit) -> None:
        facts = error_facts(error)
        if self.name in _ONCE:
            # Whoever repeats what is transient must not order twice.
            facts["transient"] = error.transient and _certainly_not_done(error)
        self.tell("error", **facts, exit_code=int(code))
        super().error(error, code)

    def bug(self, error: Exception) -> None:
        said = {"kind": type(error).__name__, "message": without_secrets(told(error)), "transient": False}
        self.tell("error", **said, exit_code=int(Exit.BUG))

    def stopped(self, signal: str, go_on: str | None) -> None:
        self.tell("stopped", signal=signal, go_on=go_on)
        super().stopped(signal, go_on)

    def _derivative(self, one: Derivative) -> dict[str, Any]:
        ready = bool(one.assets)
        return {"id": one.id, "type": one.type, "ready": ready, "derivative": self._document(one.document)}

    def _document(self, document: Any) -> Any:
        """As the service sent it; its links without what signs them, where nobody asked for that."""
        if isinstance(document, Mapping):
            return {self._document(key): self._document(value) for key, value in document.items()}
        if isinstance(document, list | tuple):
            return [self._document(value) for value in document]
        return mask_text(document) if isinstance(document, str) and not self.links else document


class _JsonFollowing:
    def __init__(self, output: JsonOutput, task_id: str) -> None:
        self._output = output
        self._task_id = task_id
        self.told = output.file

    def updated(self, update: Task | DerivativeUpdate) -> None:
        if isinstance(update, Task):
            self._output.task(update)
        else:
            step = self._output.step(update)
            self._output.tell("update", task_id=self._task_id, **step, complete=update.complete)


class _JsonBatching:
    def __init__(self, output: JsonOutput) -> None:
        self._output = output

    def requested(self, event: Event) -> None:
        """No line is made of it."""

    def told(self, event: BatchEvent) -> None:
        tell = partial(self._output.tell, id=event.id, task_id=event.task_id, again=event.again)
        match event:
            case Updated(update=update):
                tell("updated", **self._output.step(update))
            case Downloaded(files=files):
                tell("downloaded", files=[_file(file) for file in files])
            case Finished(outcome=outcome):
                found = {"derivatives": outcome.derivative_ids, "files": outcome.files}
                tell("finished", types=sorted(outcome.types), **found)
            case TaskFailed(error=error):
                tell("failed", error=error_facts(error))


def _absolute(path: Path | str) -> Path:
    return Path(path).absolute()


def _file(event: FileFinished) -> dict[str, Any]:
    return {
        "asset": event.asset,
        "path": _absolute(event.path),
        "size": event.size,
        "sha256": event.sha256,
        "known": event.known,
        "verified": event.verified,
    }


def error_facts(error: IceyeError) -> dict[str, Any]:
    """The error, as programs read it."""
    facts = {"kind": type(error).__name__, "message": without_secrets(told(error)), "transient": error.transient}
    if isinstance(error, ApiError):
        facts |= {
            "status": error.status,
            "code": error.code,
            "reference": error.reference,
            "request_id": error.request_id,
            "retry_after": error.retry_after,
        }
    return facts


def _certainly_not_done(error: IceyeError) -> bool:
    unsent = isinstance(error, TransportError) and not error.sent
    return error.undone or unsent or isinstance(error, RateLimited)


def _plain(value: object) -> object:
    if isinstance(value, datetime):
        return value.isoformat()
    return str(value)
