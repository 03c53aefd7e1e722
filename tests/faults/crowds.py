"""How many make a crowd: a fifth of what `nox -s torture` takes, or the part of it that ICEYE_CROWD_PART says."""

import os

_PART = int(os.environ.get("ICEYE_CROWD_PART", "5"))


def crowd_of(full: int) -> int:
    """So many, or the part of them that is enough for every day."""
    return full // _PART
