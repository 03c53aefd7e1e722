"""`iceye-async derivatives`, and the wait that `demo` shows too."""

from pathlib import Path

import click

from ..client import Client
from ..errors import DownloadError, IceyeError
from ..waits import DerivativeWait
from . import options
from .exits import Exit, PartlyThere
from .output import Output
from .running import answers, connect
from .tasks import policy


@click.group()
def derivatives() -> None:
    """Await, see and fetch what was detected."""


@derivatives.command("get")
@click.argument("task_id")
@options.links
@answers
async def get_derivatives(out: Output, task_id: str) -> None:
    """The derivatives that are listed now.

    One on a line: id, type, whether it is ready, its files."""
    async with connect() as client:
        found = await client.derivatives.get(task_id)
        for derivative in found:
            out.derivative(derivative)
        if not found:
            out.remark(f"the service lists no derivatives of task {task_id}")


@derivatives.command("watch")
@click.argument("task_id")
@options.derivative_types
@options.folder("Fetch each into this folder as soon as it is there.", required=False)
@options.timeout
@options.every
@options.links
@answers
async def watch_derivatives(
    out: Output, task_id: str, types: tuple[str, ...], to: str | None, timeout: float | None, every: float | None
) -> None:
    """Wait until the derivatives are there.

    All that are listed for the task, or those of the types named."""
    async with connect() as client:
        wait = client.await_derivatives(task_id, types or None, poll=policy(timeout, every))
        files = await follow(out, client, wait, to)
    if to is not None:
        out.done(files, to)


async def follow(out: Output, client: Client, wait: DerivativeWait, folder: str | None) -> tuple[Path, ...]:
    """Show the wait, and bring each derivative to the folder when it arrives. What fails does not keep the others."""
    files: list[Path] = []
    lost: dict[str, IceyeError] = {}
    with out.following(wait, client.clock) as shown:
        async for update in wait:
            shown.updated(update)
            if folder is None or not update.fresh:
                continue
            download = client.download(update.fresh, folder)
            try:
                async for event in download:
                    shown.told(event)
                files += await download
            except DownloadError as error:
                files += [Path(path) for path in error.done]
                lost |= error.failed or {error.asset or "a derivative": error}
        if lost:
            some = "a file" if len(lost) == 1 else f"{len(lost)} files"
            why = next(iter(lost.values()))
            raise DownloadError(
                f"{some} did not come, the first because of this: {why}", done=tuple(files), failed=lost
            )
    return tuple(files)


@derivatives.command("download")
@click.argument("task_id")
@options.derivative_types
@options.folder("Where the files go; it is made where there is none.")
@options.overwrite
@answers
async def download_derivatives(out: Output, task_id: str, types: tuple[str, ...], to: str, overwrite: bool) -> Exit:
    """Fetch the derivatives that are there now. Run again, it goes on where it was."""
    async with connect() as client:
        found = [one for one in await client.derivatives.get(task_id) if not types or one.type in types]
        if not any(one.assets for one in found):
            out.remark(f"no such derivatives are there yet; `iceye-async derivatives watch {task_id}` waits for them")
            return Exit.NOT_FOUND
        files = await out.fetched(client.download(found, to, overwrite=overwrite))
        out.done(files, to)
    if missing := [kind for kind in types if not any(one.assets for one in found if one.type == kind)]:
        raise PartlyThere(
            f"{', '.join(missing)} not there yet; `iceye-async derivatives watch {task_id}` waits for them"
        )
    return Exit.DONE
