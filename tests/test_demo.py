"""`iceye-async demo`: what a newcomer sees."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import pytest

from iceye_async.cli import main
from iceye_async.display.text import duration, harmless, size


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[dict[str, object]], Path]:
    """The JSON lines of one demo, and the folder it filled."""
    folder = tmp_path_factory.mktemp("demo")
    # As the command is, but four times as fast.
    program = "from iceye_async.cli import demo, main; demo.SPEED *= 4; raise SystemExit(main())"
    run = subprocess.run(
        [sys.executable, "-W", "error", "-c", program, "demo", "--json", "--to", str(folder)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=50,
        env={**os.environ, "LC_ALL": "C"},
    )
    assert (run.returncode, run.stderr) == (0, "")
    return [json.loads(line) for line in run.stdout.splitlines()], folder


def test_json_lines_tell_the_task_each_update_each_file_and_the_end(told) -> None:
    events, _ = told
    kinds = [event["event"] for event in events]

    assert kinds[0] == "task"
    assert kinds[-1] == "done"
    assert kinds.count("file") == 4
    assert kinds.count("update") >= 3


def test_derivatives_arrive_one_by_one(told) -> None:
    events, _ = told
    ready = [len(event["ready"]) for event in events if event["event"] == "update"]

    assert ready == sorted(ready)
    assert set(ready) == {1, 2, 3}
    assert [event["complete"] for event in events if event["event"] == "update"][-1] is True


def test_a_file_is_on_disk_when_its_line_is_printed_and_whole(told) -> None:
    events, folder = told
    files = {Path(event["path"]): event["size"] for event in events if event["event"] == "file"}

    assert all(path.stat().st_size == size for path, size in files.items())
    assert {path.suffix for path in files} == {".geojson", ".png"}
    assert not list(folder.glob("*.part"))


def test_plain_lines_say_what_is_ready_and_what_is_missing(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr("iceye_async.cli.demo.SPEED", math.inf)

    code = main(["demo", "--to", str(tmp_path)])

    shown = capsys.readouterr().out
    assert code == 0
    assert "DC_VESSELS ready; being made: DC_AIRCRAFT, DC_VEHICLES" in shown
    assert "complete: 3 of 3 ready, 3 files" in shown
    assert "4 files in" in shown


def test_a_folder_that_is_a_file_is_an_error_that_names_it(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("")

    code = main(["demo", "--to", str(tmp_path / "taken")])

    assert code == 2
    assert "taken" in capsys.readouterr().err


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_what_it_needs_it_is_said_what_to_install(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, missing: str
) -> None:
    for module in [name for name in sys.modules if name.startswith(("iceye_async.cli.", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, module)
    monkeypatch.setitem(sys.modules, missing, None)

    code = main(["demo"])

    assert code == 1
    assert "pip install 'iceye-async[cli]'" in capsys.readouterr().err


def test_no_command_is_a_usage_error(capsys: pytest.CaptureFixture[str]) -> None:
    assert main([]) == 2

    assert "Commands:" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("seconds", "shown"), [(0, "0 s"), (59.9, "59 s"), (185, "3 min 05 s"), (7620, "2 h 07 min"), (273_600, "3 d 04 h")]
)
def test_durations_read_as_people_say_them(seconds: float, shown: str) -> None:
    assert duration(seconds) == shown


@pytest.mark.parametrize(("count", "shown"), [(0, "0 B"), (999, "999 B"), (61_159, "61 kB"), (1_269_000_000, "1.3 GB")])
def test_sizes_read_as_people_say_them(count: int, shown: str) -> None:
    assert size(count) == shown


def test_text_from_outside_cannot_move_the_cursor_or_turn_the_line() -> None:
    assert harmless("a\x1b[2Jb\u202ec\nd") == "a?[2Jb?c?d"
