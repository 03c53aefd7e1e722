"""From a signed link to a whole file: what to fetch, under which name, and how it gets there."""

from ..events import DownloadEvent, Failed, Finished, Progressed, Started
from .download import Download
from .files import Writers
from .plan import Downloadable

__all__ = [
    "Download",
    "DownloadEvent",
    "Downloadable",
    "Failed",
    "Finished",
    "Progressed",
    "Started",
    "Writers",
]
