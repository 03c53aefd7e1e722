"""From a signed link to a whole file: what to fetch, under which name, and how it gets there."""

from ..events import DownloadEvent, Failed, Finished, Interrupted, Progressed, Started, Totals
from .download import Download, Shared
from .plan import Downloadable
from .store import is_store

__all__ = [
    "Download",
    "DownloadEvent",
    "Downloadable",
    "Failed",
    "Finished",
    "Interrupted",
    "Progressed",
    "Shared",
    "Started",
    "Totals",
    "is_store",
]
