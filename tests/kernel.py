"""A notebook without a browser: cells go to a kernel of this Python, and what a page would show comes back.

It takes nothing from the Jupyter and IPython of whoever runs the tests: no settings, no history, no other kernels.
"""

import asyncio
import json
import os
import re
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Self

import nbformat
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager

import iceye_async

LONG = 30.0
"""Real seconds that a cell may take, on a machine that has much else to do."""


def environment(folder: Path, **changes: str) -> dict[str, str]:
    """For a kernel or an IPython that lives in this folder alone, and shows every warning."""
    own = {
        "IPYTHONDIR": str(folder / "ipython"),
        "JUPYTER_CONFIG_DIR": str(folder / "config"),
        "JUPYTER_DATA_DIR": str(folder / "data"),
        "JUPYTER_RUNTIME_DIR": str(folder / "runtime"),
        "JUPYTER_NO_CONFIG": "1",
        # That of the tests, also where a kernel does not begin in their folder.
        "PYTHONPATH": str(Path(iceye_async.__file__).parent.parent),
        # All but those with which ipykernel announces to itself what is to come.
        "PYTHONWARNINGS": "always,ignore::PendingDeprecationWarning",
        "NO_COLOR": "1",
    }
    passed = {name: value for name, value in os.environ.items() if not name.startswith(("ICEYE_", "PYTHON"))}
    return passed | own | changes


class Cell:
    """What became of a cell, as the page has it."""

    def __init__(self, code: str, message: str) -> None:
        self.code = code
        self.message = message
        """The id of the request that it was."""
        self.outputs: list[Any] = []
        self.number: int | None = None
        self.status = ""
        self.seconds = 0.0
        """How long it ran; from the interrupt on, where it was interrupted."""

    def stream(self, name: str) -> str:
        return "".join(output.text for output in self.outputs if output.output_type == "stream" and output.name == name)

    @property
    def printed(self) -> str:
        return self.stream("stdout")

    @property
    def complaints(self) -> str:
        """What stands on stderr."""
        return self.stream("stderr")

    @property
    def html(self) -> list[str]:
        """Of each output that has any."""
        return [output.data["text/html"] for output in self.outputs if "text/html" in output.get("data", ())]

    @property
    def result(self) -> str:
        """The text of `Out[...]`, if there is one."""
        return next((each.data["text/plain"] for each in self.outputs if each.output_type == "execute_result"), "")

    @property
    def error(self) -> str:
        """`StateError: its words`, where it failed."""
        return next((f"{each.ename}: {each.evalue}" for each in self.outputs if each.output_type == "error"), "")

    @property
    def traceback(self) -> str:
        """As the page shows it, but for its colours."""
        lines = [line for each in self.outputs if each.output_type == "error" for line in each.traceback]
        return re.sub(r"\x1b\[[0-9;]*m", "", "\n".join(lines))


class Kernel:
    """A kernel, from `async with` to its end; `cells` are those that it was given, `messages` all that it has said."""

    def __init__(self, folder: Path, **variables: str) -> None:
        self.folder = folder
        self.cells: list[Cell] = []
        self.messages: list[str] = []
        self._displays: dict[str, list[Any]] = {}
        self._variables = variables
        self._manager = AsyncKernelManager(
            kernel_spec_manager=KernelSpecManager(kernel_dirs=[]),
            # Sockets in the folder: a port could be taken by another process before the kernel has it.
            transport="ipc",
            ip=str(folder / "k"),
            connection_file=str(folder / "kernel.json"),
        )

    async def __aenter__(self) -> Self:
        self._log = (self.folder / "stderr").open("w")
        await self._manager.start_kernel(
            env=environment(self.folder, **self._variables), cwd=str(self.folder), stdout=self._log, stderr=self._log
        )
        self._client = self._manager.client()
        self._client.start_channels()
        ready = False
        try:
            await self._client.wait_for_ready(timeout=LONG)
            ready = True
        finally:
            if not ready:
                await self.__aexit__()
        return self

    async def __aexit__(self, *_: object) -> None:
        self._client.stop_channels()
        await self._manager.shutdown_kernel(now=True)
        self._log.close()

    @property
    def log(self) -> str:
        """What the process itself has written, beside all cells."""
        return (self.folder / "stderr").read_text()

    # --- cells --------------------------------------------------------------------------------------------------------

    async def run(self, code: str, *, fails: bool = False) -> Cell:
        """The cell, run to its end. One that fails though nobody said so fails the test."""
        cell = self.begin(code)
        began = time.monotonic()
        await self._read(cell)
        cell.seconds = time.monotonic() - began
        expected = "error" if fails else "ok"
        if fails is not None:
            assert cell.status == expected, f"{cell.status}: {cell.traceback or cell.printed}"
        return cell

    def begin(self, code: str) -> Cell:
        """A cell that is left to itself."""
        cell = Cell(code, self._client.execute(code))
        self.cells.append(cell)
        return cell

    async def prints(self, cell: Cell, text: str) -> None:
        """Come back when it has printed this."""
        await self._read(cell, text)
        assert text in cell.printed, f"it ended without it: {cell.traceback or cell.printed}"

    async def interrupt(self, cell: Cell) -> Cell:
        """The cell, interrupted as by the button of that name, to its end."""
        began = time.monotonic()
        await self._manager.interrupt_kernel()
        await self._read(cell)
        cell.seconds = time.monotonic() - began
        return cell

    async def _read(self, cell: Cell, until: str | None = None) -> None:
        """What is said, up to this text or the end of the cell."""
        async with asyncio.timeout(LONG):
            while not cell.status and (until is None or until not in cell.printed):
                message = await self._client.get_iopub_msg(timeout=LONG)
                if self._shown(cell, message) == "idle" and message["parent_header"].get("msg_id") == cell.message:
                    reply = await self._reply(cell.message)
                    cell.status, cell.number = reply["status"], reply.get("execution_count")

    async def _reply(self, message: str) -> Any:
        while (reply := await self._client.get_shell_msg(timeout=LONG))["parent_header"]["msg_id"] != message:
            pass
        self.messages.append(json.dumps(reply["content"]))
        return reply["content"]

    def _shown(self, cell: Cell, message: Any) -> str:
        """Put what was said where the page has it; what no cell says is put under the one that runs."""
        kind, content = message["msg_type"], message["content"]
        if kind == "status":
            return str(content["execution_state"])
        if kind != "execute_input":
            self.messages.append(json.dumps(content))
        if kind == "update_display_data":
            for output in self._displays[content["transient"]["display_id"]]:
                output.data = content["data"]
        elif kind in {"stream", "display_data", "execute_result", "error"}:
            output = nbformat.v4.output_from_msg(message)
            cell.outputs.append(output)
            if (display_id := content.get("transient", {}).get("display_id")) is not None:
                self._displays.setdefault(display_id, []).append(output)
        return str(kind)

    # --- beside cells -------------------------------------------------------------------------------------------------

    async def completions(self, code: str) -> list[str]:
        """What the Tab key offers at the end of this."""
        found: list[str] = (await self._reply(self._client.complete(code)))["matches"]
        return found

    async def help(self, code: str, *, source: bool = False) -> str:
        """What Shift+Tab shows at the end of this, and twice so."""
        found: Mapping[str, str] = (await self._reply(self._client.inspect(code, detail_level=int(source))))["data"]
        return found.get("text/plain", "")

    def saved(self) -> str:
        """The file in which the page is saved, as it is now."""
        cells = [
            nbformat.v4.new_code_cell(cell.code, execution_count=cell.number, outputs=cell.outputs)
            for cell in self.cells
        ]
        notebook = nbformat.v4.new_notebook(cells=cells)
        nbformat.validate(notebook)
        return str(nbformat.writes(notebook))
