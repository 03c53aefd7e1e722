"""The command line: a thin front end over the public API."""

import argparse
import asyncio
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from .._version import __version__

INTERRUPTED = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="iceye-async", description="Await ICEYE satellite tasks, products and detections."
    )
    parser.add_argument("--version", action="version", version=f"iceye-async {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    demo = commands.add_parser(
        "demo",
        help="watch the main job happen in a local sandbox; needs no account and no network",
        description="Start a sandbox, create a task in it, wait for its derivatives, download each. Takes ten seconds.",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON object per update instead")
    demo.add_argument(
        "--to",
        type=Path,
        default=Path("iceye-demo"),
        metavar="FOLDER",
        help="where the files go; iceye-demo unless given",
    )
    options = parser.parse_args(arguments)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    try:
        # In here, for until they are read Ctrl-C may come, too.
        from .demo import demo
        from .screens import screen_for

        options.to.mkdir(parents=True, exist_ok=True)
        asyncio.run(demo(options.to, screen_for(as_json=options.json)))
    except KeyboardInterrupt:
        _complain("stopped; files that were whole stay where they are")
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our lines has seen enough, and Python would try once more to write them when it ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except FileExistsError:
        _complain(f"{options.to} is a file, not a folder; choose another with --to")
        return 1
    except OSError as error:
        _complain(f"{error.strerror or error}: {error.filename or 'the output'}; choose another folder with --to")
        return 1
    except Exception as error:
        from ..errors import IceyeError

        if not isinstance(error, IceyeError):
            raise
        _complain(str(error))
        return 1
    return 0


def _complain(text: str) -> None:
    if sys.stderr is not None:
        print(f"iceye-async demo: {text}", file=sys.stderr)
