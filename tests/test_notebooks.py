"""The notebooks of the docs as they are saved. That they run is tested, too: see the `conftest.py` beside them."""

import re
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

FOLDER = Path(__file__).parent.parent / "docs" / "notebooks"
NOTEBOOKS = sorted(FOLDER.glob("*.ipynb"))
SECRET = re.compile(r"(?:Signature|Expires|Key-Pair-Id)=(?!\.\.\.)|sandbox-[0-9a-f]{16}|<script")
OF_A_MACHINE = re.compile(r"/(?:tmp|home|root|Users|work)/|[A-Z]:\\\\")


def test_there_is_one_for_each_of_three_jobs():
    assert [path.stem for path in NOTEBOOKS] == ["batch-to-map", "first-wait", "products-to-stac"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_the_file_is_valid(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)

    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    nbformat.validate(notebook)
    assert len({cell.id for cell in notebook.cells}) == len(notebook.cells)


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_it_says_in_words_what_to_change_for_an_account(path):
    """In one cell of text: a cell of code would ask for credentials."""
    notebook = nbformat.read(path, as_version=4)

    told = [cell.cell_type for cell in notebook.cells if "Client.from_env()" in cell.source]

    assert told == ["markdown"]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_what_is_saved_with_it_holds_no_secret_no_failure_and_nothing_of_a_machine(path):
    text = path.read_text(encoding="utf-8")
    outputs = [each for cell in nbformat.read(path, as_version=4).cells for each in cell.get("outputs", ())]

    assert SECRET.search(text) is None
    assert OF_A_MACHINE.search(text) is None
    assert not [each for each in outputs if each.output_type == "error" or each.get("name") == "stderr"]


ACCOUNT = """import math
from iceye_async import Client
from iceye_async.sandbox import Sandbox
service = await Sandbox(speed=math.inf).__aenter__()
Client.from_env = service.client"""
"""What stands for an account: the documented service, and the client of whoever is signed in."""


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_with_an_account_it_runs_as_it_says(path, tmp_path):
    """The lines of the text in place of the sandbox, and all other cells as they are."""
    notebook = nbformat.read(path, as_version=4)
    [told] = [cell.source for cell in notebook.cells if "Client.from_env()" in cell.source]
    instead, price = re.findall(r"^```python\n(.*?)^```", told, re.MULTILINE | re.DOTALL)
    at, first = next((at, cell) for at, cell in enumerate(notebook.cells) if cell.cell_type == "code")
    first.source = first.source.partition("opened = ")[0] + instead
    notebook.cells.insert(at + 1, nbformat.v4.new_code_cell(price))
    notebook.cells.insert(0, nbformat.v4.new_code_cell(ACCOUNT))
    notebook.cells.append(nbformat.v4.new_code_cell("await service.__aexit__(None, None, None)"))

    NotebookClient(notebook, kernel_name="python3", timeout=30, resources={"metadata": {"path": tmp_path}}).execute()

    assert "Price(" in str(notebook.cells[at + 2].outputs)
    assert [place.name for place in tmp_path.iterdir()] == [re.search(r'folder = Path\("(\w+)"\)', instead)[1]]


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_line_is_wider_than_a_page(path):
    cells = [cell for cell in nbformat.read(path, as_version=4).cells if cell.cell_type == "code"]

    assert max(len(line) for cell in cells for line in cell.source.splitlines()) <= 100


CELLS = (
    """import asyncio, math
from datetime import timedelta
from iceye_async.sandbox import Sandbox
sandbox = await Sandbox(speed=math.inf).__aenter__()
client = sandbox.client()
now = sandbox.clock.utc()
order = {
    "contract_id": sandbox.contract_id, "imaging_mode": "SPOTLIGHT", "point_of_interest": (51.95, 4.05),
    "acquisition_window": (now, now + timedelta(days=2)),
    "product_types": ["GRD"], "derivative_product_types": ["DC_VESSELS"],
}
task = await client.tasks.create(**order)
wait = client.await_derivatives(task.id)
wait""",
    "job = asyncio.create_task(wait); batch = client.await_batch([task.id]); batch",
    "derivatives = await job; report = await batch; await client.close(); await sandbox.__aexit__(None, None, None)",
)


def test_a_page_that_was_executed_shows_how_what_it_began_has_ended(tmp_path):
    """Who executes a notebook as a whole keeps what is drawn for the cell that runs, and nothing else."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in CELLS])

    NotebookClient(notebook, kernel_name="python3", timeout=30, resources={"metadata": {"path": tmp_path}}).execute()

    [waited], [batched], _ = [[output.data["text/html"] for output in cell.outputs] for cell in notebook.cells]
    assert "<b>complete</b>" in waited
    assert "1 completed" in batched
