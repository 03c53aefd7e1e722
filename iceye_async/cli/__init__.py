"""The command line: a thin front end over the public API. It needs click and rich, which come with the extra `cli`."""

import sys
from collections.abc import Sequence


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code, of which docs/command-line.md has the list."""
    try:
        # In here, for Ctrl-C may come while the commands are read, too. (While the library is, it is Python's own.)
        try:
            from .app import run
        except ModuleNotFoundError as error:
            if (error.name or "").partition(".")[0] not in {"click", "rich"}:
                raise
            if sys.stderr is not None:
                print(
                    "iceye-async: the command line needs click and rich: pip install 'iceye-async[cli]'",
                    file=sys.stderr,
                )
            return 1
        return run(sys.argv[1:] if arguments is None else arguments)
    except KeyboardInterrupt:
        return 130
