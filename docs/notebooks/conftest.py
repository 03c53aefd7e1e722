"""How the notebooks are tested: each in a kernel that knows nothing of whoever runs it, and where warnings are errors.

A notebook that writes on stderr, puts a secret into what is saved of it, or leaves a file in this folder fails, too.
"""

import os
import re
from collections.abc import Generator, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from nbmake.nb_result import NotebookError, NotebookResult
from nbmake.nb_run import NotebookRun

HERE = Path(__file__).parent
SECRET = re.compile(r"(?:Signature|Expires|Key-Pair-Id)=(?!\.\.\.)|sandbox-[0-9a-f]{16}|<script|Bearer [0-9a-f]")
"""What signs a link, the secret of a sandbox, a token; and what would be run by whoever opens the page."""


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call() -> Generator[None, Any, Any]:
    execute = NotebookRun.execute
    with pytest.MonkeyPatch.context() as patched, TemporaryDirectory() as folder:
        for name in [name for name in os.environ if name.startswith(("ICEYE_", "JUPYTER_"))]:
            patched.delenv(name)
        for name in ("IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR"):
            patched.setenv(name, folder)
        # All but those with which ipykernel announces to itself what is to come.
        patched.setenv("PYTHONWARNINGS", "error,ignore::PendingDeprecationWarning")
        patched.setattr(NotebookRun, "execute", lambda run: judged(execute(run)))
        before = set(HERE.iterdir())
        result = yield
        assert set(HERE.iterdir()) <= before
        return result


def judged(result: NotebookResult) -> NotebookResult:
    """The result, which is a failure where what the page holds is none of its business."""
    if result.error is None:
        result.error = next(flaws(result.nb), None)
    return result


def flaws(notebook: Any) -> Iterator[NotebookError]:
    for index, cell in enumerate(notebook.cells):
        for output in cell.get("outputs", ()):
            if output.get("name") == "stderr":
                yield NotebookError(f"cell {cell.id} writes on stderr", output.text, index)
            if (found := SECRET.search(str(output))) is not None:
                yield NotebookError(f"cell {cell.id} shows {found[0]}", str(output)[:2000], index)
