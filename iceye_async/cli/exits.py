"""How a command ends: exit codes, and which error is which. docs/command-line.md tells users the same."""

from enum import IntEnum

from ..errors import (
    DerivativesNotRequested,
    DownloadError,
    Forbidden,
    IceyeError,
    NotFound,
    PollTimeout,
    ProductsNotRequested,
    TaskEnded,
    Unauthorized,
    UsageError,
)


class Exit(IntEnum):
    """What the shell gets."""

    DONE = 0
    FAILED = 1
    USAGE = 2
    CREDENTIALS = 3
    NOT_FOUND = 4
    ENDED = 5
    DEADLINE = 6
    PARTLY = 7
    BUG = 70
    INTERRUPTED = 130
    UNREAD = 141
    TERMINATED = 143


class NoCredentials(UsageError):
    """The environment does not say how to sign in."""


class PartlyThere(IceyeError):
    """Some of what was asked for is there, and was given; the message names the rest."""


class Declined(IceyeError):
    """Somebody was asked, and did not say yes."""


_KINDS: tuple[tuple[type[IceyeError], Exit], ...] = (
    (NoCredentials, Exit.CREDENTIALS),
    (UsageError, Exit.USAGE),
    (Unauthorized, Exit.CREDENTIALS),
    (Forbidden, Exit.CREDENTIALS),
    (PartlyThere, Exit.PARTLY),
    (NotFound, Exit.NOT_FOUND),
    (TaskEnded, Exit.ENDED),
    (DerivativesNotRequested, Exit.ENDED),
    (ProductsNotRequested, Exit.ENDED),
    (PollTimeout, Exit.DEADLINE),
)


def code_of(error: IceyeError) -> Exit:
    """The exit code of a command that this error ended."""
    if isinstance(error, DownloadError) and (error.done or error.failed):
        codes = {code_of(one) for one in error.failed.values()}
        return Exit.PARTLY if error.done else codes.pop() if len(codes) == 1 else Exit.FAILED
    return next((code for kind, code in _KINDS if isinstance(error, kind)), Exit.FAILED)
