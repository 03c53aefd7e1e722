"""What a download tells while it runs. `asset` names an asset as item id and asset key; sizes are bytes."""

from pathlib import Path
from typing import TypeAlias

from attrs import frozen

from ..errors import IceyeError


@frozen(kw_only=True)
class Started:
    """The link host answered. `size` is None where it does not say how long the file is."""

    asset: str
    path: Path
    size: int | None


@frozen(kw_only=True)
class Progressed:
    """So many bytes are on disk, under another name than the final one."""

    asset: str
    path: Path
    received: int
    size: int | None


@frozen(kw_only=True)
class Finished:
    """The file is whole and has its final name. `known` is true where it was there before, and was not fetched."""

    asset: str
    path: Path
    size: int
    sha256: str
    known: bool = False


@frozen(kw_only=True)
class Failed:
    """This asset will not come; the others go on."""

    asset: str
    path: Path
    error: IceyeError


DownloadEvent: TypeAlias = Started | Progressed | Finished | Failed
