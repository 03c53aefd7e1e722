"""Many tasks at once: what `client.await_batch()` tells and reports."""

from .events import BatchEvent, Downloaded, Failed, Finished, Updated
from .report import BatchOutcome, BatchReport

__all__ = [
    "BatchEvent",
    "BatchOutcome",
    "BatchReport",
    "Downloaded",
    "Failed",
    "Finished",
    "Updated",
]
