"""The README's code runs, and its commands are the ones that are meant."""

import ast
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from iceye_async.sandbox import Scenario

README = Path(__file__).parent.parent / "README.md"
BLOCK = re.compile(r"^```(\w+)([^\n]*)\n(.*?)^```", re.DOTALL | re.MULTILINE)


def blocks(language: str) -> list[tuple[str, str]]:
    """The info strings and texts of the code blocks in this language."""
    return [(info.strip(), text) for found, info, text in BLOCK.findall(README.read_text()) if found == language]


def example(number: int, folder: Path) -> str:
    """What the example of this number prints, run in the folder as it stands."""
    texts = [text for info, text in blocks("python") if info not in {"no-run", "test"}]
    run = subprocess.run(
        [sys.executable, "-c", texts[number]],
        cwd=folder,
        env={**os.environ, "PYTHONWARNINGS": "error"},
        capture_output=True,
        text=True,
        timeout=50,
    )
    assert run.stderr == ""
    return run.stdout


def test_the_example_runs_as_it_stands(tmp_path: Path) -> None:
    assert "3 derivatives, final: True" in example(0, tmp_path)
    assert len(list((tmp_path / "detections").glob("*.geojson"))) == 3


def test_the_example_of_many_tasks_runs_as_it_stands(tmp_path: Path) -> None:
    assert example(1, tmp_path).count("is over") == 5
    assert len(list((tmp_path / "detections").glob("*/*.geojson"))) == 5
    assert (tmp_path / "night.db").is_file()


@pytest.mark.parametrize("text", [text for info, text in blocks("python") if info == "no-run"])
def test_the_examples_with_an_account_use_names_that_exist(text: str) -> None:
    given = "client, token_url, client_id, client_secret, task_id, product"
    tree = ast.parse(f"async def main({given}):\n{indented(text)}")

    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]

    assert imports
    for node in imports:
        exec(ast.unparse(node), {})  # noqa: S102 - an import that the README shows


def test_the_two_commands_stand_in_blocks_of_their_own_the_demo_first() -> None:
    demo, tests = (text for info, text in blocks("sh") if info != "no-run")

    assert demo.count("\n") == tests.count("\n") == 1
    assert demo.rstrip().endswith("iceye-async demo")
    assert tests.rstrip().endswith("nox")


def test_the_scenario_can_be_read(tmp_path: Path) -> None:
    [(_, text)] = blocks("toml")
    (tmp_path / "mine.toml").write_text(text)

    scenario = Scenario.load(tmp_path / "mine.toml")

    assert scenario.frames == 3
    assert [fault.status for fault in scenario.faults] == [429, 503]


def test_every_figure_is_filled_in() -> None:
    prose = BLOCK.sub("", README.read_text())

    assert not re.search(r"[{}]", prose)


@pytest.mark.parametrize("name", ["LICENSE", "CHANGELOG.md"])
def test_what_a_release_needs_is_there(name: str) -> None:
    assert (README.parent / name).stat().st_size > 0


def indented(text: str) -> str:
    return "".join(f"    {line}\n" for line in text.splitlines())
