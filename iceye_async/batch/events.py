"""What a batch tells while it works.

    async for event in client.await_batch(task_ids, to="detections", journal="night.db"):
        match event:
            case Updated(task_id=task_id, update=update): ...  # detections of a task have arrived
            case Downloaded(files=files): ...  # and are on the disk
            case Finished(outcome=outcome): ...  # everything wanted of a task is there
            case Failed(error=error): ...  # it will not come; the other tasks go on

An event is in the journal before it is handed out, and acknowledged when the next one is asked for. One that was not
acknowledged when a run ended comes again in the next, with the same `id` and with `again` true.
"""

from typing import TYPE_CHECKING

from attrs import field, frozen

from ..errors import IceyeError
from ..models import DerivativeUpdate

if TYPE_CHECKING:
    from .. import events
    from .report import BatchOutcome, BatchReport


@frozen(kw_only=True)
class BatchEvent:
    """Something happened to a task. `id` is unique within a journal."""

    task_id: str
    id: str
    again: bool = False
    """Whether it was handed out before, in an earlier run, and perhaps not dealt with."""


@frozen(kw_only=True)
class Updated(BatchEvent):
    """Wanted derivatives of the task have got assets: `update.fresh`, each in one event only.

    Where it comes again, `update` is what the service lists now; what it does not list any more has no assets.
    """

    update: DerivativeUpdate


@frozen(kw_only=True)
class Downloaded(BatchEvent):
    """Derivatives of the task are on the disk, whole: for each file its path, size in bytes and SHA-256."""

    files: "tuple[events.Finished, ...]"


@frozen(kw_only=True)
class Finished(BatchEvent):
    """Everything wanted of the task has arrived, and was downloaded where there is a folder for it."""

    _report: "BatchReport" = field(repr=False, eq=False)

    @property
    def outcome(self) -> "BatchOutcome":
        """What became of the task, read from the journal when it is looked at."""
        return self._report.completed[self.task_id]


@frozen(kw_only=True)
class Failed(BatchEvent):
    """The task will not get what was wanted of it. `error` is what its own wait would have raised."""

    error: IceyeError
