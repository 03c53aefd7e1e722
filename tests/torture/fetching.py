"""Downloads and batches in processes of their own, one after the other, so that they can be killed.

Run as a program, it reads orders as lines of JSON and forks for each: what is imported once need not be imported again.
It answers with the process id and then with the exit code, and reaps the process only when the next line comes, so that
whoever kills it by its id never kills another one.
"""

import asyncio
import json
import os
import sys
import traceback
from pathlib import Path
from typing import Any

from iceye_async import (
    BatchEvent,
    BatchReport,
    Client,
    ClientCredentials,
    Derivative,
    DerivativeAsset,
    PollPolicy,
    RetryPolicy,
)
from iceye_async.batch import Downloaded, Failed, Updated
from iceye_async.downloads import Finished, transfer

TRIES = RetryPolicy(tries=12, first=0.01, ceiling=0.02)
SOON = PollPolicy(first=0.02, growth=1.2, ceiling=0.05)
EAGER = {"_TRIAL": 0.005, "_WORTH": 2**20, "_GAIN": 0.0}
"""With these in place of its own figures, a transfer has several connections long before that is worth it."""


async def fetched(order: dict[str, Any]) -> Finished:
    """Do the download that the order says."""
    asset = DerivativeAsset(href=order["href"], type="geojson")
    thing = Derivative(id=order["item"], type="DC_VESSELS", task_id=order["task"], assets=(asset,))
    async with Client(order["url"], auth=order["token"], rate_limit=None, retry=TRIES) as client:
        download = client.download(thing, order["folder"])
        await download
        return download.latest[0]


async def followed(order: dict[str, Any]) -> None:
    """Drive the batch that the order says to its end. Each event is a line of its log before the next is asked for."""
    credentials = ClientCredentials(order["token_url"], order["client_id"], order["client_secret"])
    async with Client(order["url"], auth=credentials, rate_limit=None, retry=TRIES, poll=SOON) as client:
        batch = client.await_batch(order["ids"], journal=order["journal"], to=order["folder"])
        with Path(order["log"]).open("a", encoding="utf-8") as log:  # noqa: ASYNC230 - nothing else runs here
            async for event in batch:
                print(json.dumps(told(event)), file=log, flush=True)
                os.fsync(log.fileno())
                await asyncio.sleep(order["pause"])
        report = await batch
    _note(order["result"], report)


def _note(path: str, report: BatchReport) -> None:
    completed = {task_id: sorted(outcome.derivative_ids) for task_id, outcome in report.completed.items()}
    failed = {task_id: type(error).__name__ for task_id, error in report.failed.items()}
    Path(path).write_text(json.dumps({"completed": completed, "failed": failed}), encoding="utf-8")


def told(event: BatchEvent) -> dict[str, Any]:
    """An event, but for its links."""
    match event:
        case Updated(update=update):
            what: Any = sorted(derivative.id for derivative in update.fresh)
        case Downloaded(files=files):
            what = sorted([str(file.path), file.size, file.sha256] for file in files)
        case Failed(error=error):
            what = str(error)
        case _:
            what = None
    return {"id": event.id, "again": event.again, "task": event.task_id, "kind": type(event).__name__, "what": what}


def _carried_out(order: dict[str, Any]) -> int:
    try:
        for name, value in order.get("figures", {}).items():
            assert hasattr(transfer, name)
            setattr(transfer, name, value)
        asyncio.run(followed(order) if "journal" in order else fetched(order))
    except BaseException:  # noqa: BLE001 - it is the end of the process
        Path(order["report"]).write_text(traceback.format_exc(), encoding="utf-8")
        return 1
    return 0


def main() -> None:
    """Carry out orders until there are no more."""
    for line in sys.stdin:
        process = os.fork()
        if process == 0:
            os._exit(_carried_out(json.loads(line)))
        print(process, flush=True)  # noqa: T201
        ended = os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT)
        assert ended is not None
        print(ended.si_status if ended.si_code == os.CLD_EXITED else -ended.si_status, flush=True)  # noqa: T201
        sys.stdin.readline()
        os.waitpid(process, 0)


if __name__ == "__main__":
    main()
