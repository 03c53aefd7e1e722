"""The commands together, and what is looked at before one runs."""

import os
import re
import sys
from collections.abc import Sequence

import click

from .._version import __version__
from ..errors import UsageError
from .batches import batch
from .bugs import bug
from .demo import demo
from .derivatives import derivatives
from .doctor import doctor
from .exits import Exit
from .output import forget, note
from .products import products
from .running import Call, cannot_write, flush, unread
from .sandbox import sandbox
from .tasks import tasks
from .words import PROGRAM, secrets, without_secrets

_NAMES = r"(?:[\w-]*[_-])?(?:token|secret|password|passwd|api-?key|credentials?|bearer|auth)(?:[_-][\w-]*)?"
_SECRET_OPTIONS = re.compile(rf"--?{_NAMES}(?:=.*)?|{_NAMES}=.*", re.IGNORECASE | re.DOTALL)


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(__version__, prog_name=PROGRAM, message="%(prog)s %(version)s")
def app() -> None:
    """Await ICEYE satellite tasks, products and detections.

    Credentials come from the environment: ICEYE_TOKEN_URL, ICEYE_CLIENT_ID and ICEYE_CLIENT_SECRET, or
    ICEYE_ACCESS_TOKEN. `iceye-async doctor` tells whether they work, `iceye-async demo` shows what all this is about
    without any.
    """


for group in (tasks, products, derivatives, batch, sandbox, demo, doctor):
    app.add_command(group)


def run(arguments: Sequence[str]) -> int:
    """The exit code of the command that these arguments are."""
    escape_what_cannot_be_written()
    if refused := _secret_in(arguments):
        _tell(arguments, refused, Exit.CREDENTIALS)
        note(f"{PROGRAM}: {refused}")
        return Exit.CREDENTIALS
    try:
        code = app.main(list(arguments), prog_name=PROGRAM, standalone_mode=False, obj=Call(tuple(arguments)))
        flush()
    except click.exceptions.Exit as ended:
        return ended.exit_code
    except click.Abort:
        note("\nstopped; nothing was done")
        return Exit.INTERRUPTED
    except click.ClickException as error:
        _tell(arguments, error.format_message(), Exit.USAGE)
        try:
            error.show()
        except OSError:
            forget(2)
        return Exit.USAGE
    except BrokenPipeError:
        return unread()
    except OSError as error:
        return cannot_write("", error)
    except Exception as error:  # noqa: BLE001 - it is told, and is the end of the program
        return bug(error, arguments, debug="--debug" in arguments)
    return int(code or 0)


def _tell(arguments: Sequence[str], message: str, code: Exit) -> None:
    """The event of an error that came before there was a command to tell it."""
    if "--json" in arguments:
        from .jsonlines import JsonOutput

        said = {"kind": UsageError.__name__, "message": without_secrets(message), "transient": False}
        try:
            JsonOutput(name="").tell("error", **said, exit_code=int(code))
        except OSError:
            forget(1)


def escape_what_cannot_be_written() -> None:
    """A letter that the output's encoding does not have must not end the command."""
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _secret_in(arguments: Sequence[str]) -> str | None:
    """What to say where a secret was typed, for whoever is on this machine to see."""
    why = "everybody on this machine can see arguments, and the shell keeps them: treat that one as given away"
    known = secrets(os.environ)
    for one in arguments:
        if _SECRET_OPTIONS.fullmatch(one):
            name = one.partition("=")[0]
            return f"there is no {name}, for {why}; set it in the environment, as `{PROGRAM} --help` tells"
        if any(secret in one for secret in known):
            return f"an argument holds a secret of the environment, and {why}"
    return None
