"""All that anybody could get to see of an error."""

import contextlib
import traceback
from collections.abc import Iterator
from pathlib import Path

HERE = str(Path(__file__).parent)


def chain(error: BaseException | None) -> Iterator[BaseException]:
    """The error and whatever hangs on it, shown or not."""
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__


def frames(error: BaseException | None) -> Iterator[str]:
    """What an error reporter shows of a traceback, its causes included: the locals of each frame that is no test's."""
    for link in chain(error):
        for frame, line in traceback.walk_tb(link.__traceback__):
            if not frame.f_code.co_filename.startswith(HERE):
                for name, value in frame.f_locals.items():
                    with contextlib.suppress(Exception):  # it may be half made, or longer than Python prints
                        yield f"{frame.f_code.co_qualname}, line {line}: {name} = {value!r}"


def everything(error: BaseException) -> str:
    """Text, repr and facts of the error, of its causes and of what failed in it, and the locals of their tracebacks."""
    shown = "".join(frames(error))
    for link in chain(error):
        told = traceback.TracebackException.from_exception(link)
        # A line of a test may well hold the secret that it gives away.
        told.stack = traceback.StackSummary.from_list(line for line in told.stack if not line.filename.startswith(HERE))
        shown += f"{''.join(told.format(chain=False))}{link!r} {vars(link)}"
        shown += "".join(map(everything, getattr(link, "failed", {}).values()))
    return shown
