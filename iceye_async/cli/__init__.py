"""The command line: a thin front end over the public API."""

import argparse
import asyncio
import math
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TypeVar

from .._version import __version__

INTERRUPTED = 130

N = TypeVar("N", int, float)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a command; the exit code."""
    parser = argparse.ArgumentParser(
        prog="iceye-async", description="Await ICEYE satellite tasks, products and detections."
    )
    parser.add_argument("--version", action="version", version=f"iceye-async {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="command", required=True)
    _add_demo(commands)
    _add_sandbox(commands)
    options = parser.parse_args(arguments)
    run: Callable[[argparse.Namespace], int] = options.run
    return run(options)


def _add_demo(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
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
    demo.set_defaults(run=_run_demo)


def _add_sandbox(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    sandbox = commands.add_parser(
        "sandbox",
        help="serve a local Tasking API to test your own code with",
        description="Serve a local Tasking API until Ctrl-C, and print the environment variables that lead to it.",
    )
    sandbox.add_argument(
        "--scenario",
        default="calm",
        metavar="NAME",
        help="what happens in it: a name (a wrong one tells which there are), or a file *.toml",
    )
    sandbox.add_argument(
        "--speed",
        type=_positive,
        default=60.0,
        metavar="N",
        help="by how much its durations are shortened; 60 unless given. Its time stamps are real.",
    )
    sandbox.add_argument("--seed", type=int, metavar="N", help="give the same ids and faults each time")
    sandbox.add_argument("--host", default="127.0.0.1", help="where it listens; 127.0.0.1 unless given")
    sandbox.add_argument("--port", type=_port, default=0, help="of the API; a free one unless given")
    sandbox.add_argument("--link-port", type=_port, default=0, help="of the files' host; a free one unless given")
    sandbox.set_defaults(run=_run_sandbox)


def _positive(text: str) -> float:
    return _number(text, float, "a number above 0", lambda number: 0 < number < math.inf)


def _port(text: str) -> int:
    return _number(text, int, "a port, 0..65535", lambda number: 0 <= number <= 65_535)


def _number(text: str, read: Callable[[str], N], words: str, good: Callable[[N], bool]) -> N:
    try:
        number = read(text)
    except ValueError:
        number = None
    if number is None or not good(number):
        raise argparse.ArgumentTypeError(f"{text!r} is not {words}")
    return number


# --- running -----------------------------------------------------------------------------------------------------


def _run_sandbox(options: argparse.Namespace) -> int:
    try:
        from ..sandbox import ScenarioError
        from .sandbox import sandbox

        asyncio.run(sandbox(options))
    except KeyboardInterrupt:
        pass  # That is how it is ended.
    except BrokenPipeError:
        _forget_output()
    except ScenarioError as error:
        _complain("sandbox", str(error))
        return 1
    except OSError as error:
        _complain("sandbox", error.strerror or str(error))
        return 1
    return 0


def _run_demo(options: argparse.Namespace) -> int:
    try:
        # In here, for until they are read Ctrl-C may come, too.
        from .demo import demo
        from .screens import screen_for

        options.to.mkdir(parents=True, exist_ok=True)
        asyncio.run(demo(options.to, screen_for(as_json=options.json)))
    except KeyboardInterrupt:
        _complain("demo", "stopped; files that were whole stay where they are")
        return INTERRUPTED
    except BrokenPipeError:
        _forget_output()
        return 0
    except FileExistsError:
        _complain("demo", f"{options.to} is a file, not a folder; choose another with --to")
        return 1
    except OSError as error:
        words = f"{error.strerror or error}: {error.filename or 'the output'}; choose another folder with --to"
        _complain("demo", words)
        return 1
    except Exception as error:
        from ..errors import IceyeError

        if not isinstance(error, IceyeError):
            raise
        _complain("demo", str(error))
        return 1
    return 0


def _forget_output() -> None:
    """Whoever read our lines has seen enough, and Python would try once more to write them when it ends."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)


def _complain(command: str, text: str) -> None:
    if sys.stderr is not None:
        print(f"iceye-async {command}: {text}", file=sys.stderr)
