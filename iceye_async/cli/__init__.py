"""The command line: a thin front end over the public API."""

import argparse
import asyncio
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
        description="Start a sandbox, create a task in it, wait for its derivatives, download each as it appears.",
    )
    demo.add_argument("--json", action="store_true", help="print one JSON object per update instead")
    demo.add_argument("--to", type=Path, default=Path("iceye-demo"), metavar="FOLDER", help="where the files go")
    options = parser.parse_args(arguments)
    return _run(options)


def _run(options: argparse.Namespace) -> int:
    from ..errors import IceyeError
    from .demo import demo
    from .screens import screen_for

    try:
        asyncio.run(demo(options.to, screen_for(as_json=options.json)))
    except KeyboardInterrupt:
        print("stopped; files that were whole stay where they are", file=sys.stderr)
        return INTERRUPTED
    except BrokenPipeError:
        # Whoever read our lines has seen enough.
        sys.stderr.close()
        return 0
    except IceyeError as error:
        print(f"iceye-async demo: {error}", file=sys.stderr)
        return 1
    return 0
