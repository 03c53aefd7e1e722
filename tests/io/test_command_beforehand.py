"""What a command finds out before it begins, and what it says of how it ended: the parts that would hurt after days."""

import asyncio
import errno
import io
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.shell_completion import ShellComplete

from iceye_async.cli import running
from iceye_async.cli.app import app
from iceye_async.cli.options import amount, duration
from iceye_async.sandbox import Fault
from iceye_async.session import Session
from iceye_async.waits import DerivativeWait
from tests.commands import Shell, Stage, interrupt, let_go
from tests.desk import AT_ONCE, NOBODY

VESSELS = {"derivative_product_types": ["DC_VESSELS"]}
DOWNLOADS = ["products download", "derivatives download", "derivatives watch", "batch run --journal n.db"]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> Iterator[Shell]:
    monkeypatch.chdir(tmp_path)
    yield Shell(monkeypatch, capsys)
    let_go()


# --- before anything is asked ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("to", ["taken", "taken/inside", "s3://bucket/folder", " "])
@pytest.mark.parametrize("command", DOWNLOADS)
def test_a_folder_that_no_file_can_come_to_is_refused_at_once(run: Shell, command: str, to: str) -> None:
    Path("taken").write_text("")
    stage = Stage(VESSELS, **AT_ONCE)

    told = run(*command.split(), stage.id, "--to", to, on=stage)

    assert told.code == 2
    assert "--to" in told.err
    assert not stage.requests
    assert [path.name for path in Path().iterdir()] == ["taken"]


def test_a_folder_that_is_not_there_yet_is_made(run: Shell) -> None:
    stage = Stage(VESSELS, **AT_ONCE)

    told = run("derivatives", "watch", stage.id, "--to", "deep/down", on=stage)

    assert (told.code, len(list(Path("deep/down").glob("*.geojson")))) == (0, 1)


@pytest.mark.parametrize("report", ["folder.csv", "nowhere/r.csv", "r.txt", "r"])
def test_a_report_that_cannot_be_written_is_refused_at_once(run: Shell, report: str) -> None:
    Path("folder.csv").mkdir()
    stage = Stage(VESSELS, **AT_ONCE)

    told = run("batch", "run", "--journal", "n.db", "--report", report, stage.id, on=stage)

    assert (told.code, stage.requests) == (2, [])
    assert report.split("/")[0] in told.err
    assert not Path("n.db").exists()


def test_a_report_that_cannot_be_written_any_more_does_not_make_the_batch_a_wrong_command(
    run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("iceye_async.cli.options.os.access", lambda *_: Path("r.csv").mkdir() is None)
    stage = Stage(VESSELS, **AT_ONCE)

    told = run("batch", "run", "--journal", "n.db", "--report", "r.csv", stage.id, on=stage)

    assert told.code == 1
    assert "r.csv" in told.err
    assert "--report" in told.err


@pytest.mark.parametrize("option", ["--contract", "--reference", "--mode", "--sla"])
def test_an_empty_variable_of_the_shell_orders_nothing(run: Shell, option: str) -> None:
    stage = Stage(VESSELS, **AT_ONCE)
    given = {"--mode": "SPOTLIGHT", "--point": "1,2", "--window": "2026-01-02/2026-01-03", option: ""}

    told = run("tasks", "create", "--yes", *[word for pair in given.items() for word in pair], on=stage)

    assert (told.code, stage.requests) == (2, [])
    assert option in told.err


def test_a_journal_that_is_not_there_is_one_line(run: Shell) -> None:
    told = run("batch", "resume", "nowhere.db", on=Stage(VESSELS, **AT_ONCE))

    assert (told.code, told.out, len(told.complaints)) == (1, "", 1)
    assert "batch run" in told.err


# --- how it ended ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("orders", "known", "code"),
    [
        ([{"reference": "gone"}], [], 5),
        ([{"reference": "gone"}, {"reference": "gone"}], [], 5),
        ([], [NOBODY], 4),
        ([{"reference": "gone"}], [NOBODY], 1),
        ([{"reference": "gone"}, {}], [], 7),
        ([{}], [], 0),
    ],
    ids=["ended", "both ended", "unknown", "one of each", "in part", "complete"],
)
def test_a_batch_ends_as_its_tasks_do(run: Shell, orders: list[dict[str, str]], known: list[str], code: int) -> None:
    stage = Stage(*({**VESSELS, **order} for order in orders), **AT_ONCE, courses={"gone": {"ends": "REJECTED"}})

    told = run("batch", "run", "--journal", "n.db", *stage.ids[: len(orders)], *known, on=stage)

    assert told.code == code


def test_a_batch_that_runs_out_of_time_ends_as_a_wait_does(run: Shell) -> None:
    stage = Stage(VESSELS, **{**AT_ONCE, "derivatives": {"DC_VESSELS": 9e6}})

    told = run("batch", "run", "--journal", "n.db", "--timeout", "2h", "--every", "600", stage.id, on=stage)

    assert told.code == 6
    assert ".latest" not in told.out + told.err


@pytest.mark.parametrize(
    "words", [["tasks", "list", "--since", "soon"], ["tasks", "lst"], ["tasks", "get", "--token=x"]]
)
def test_a_wrong_command_has_its_event_too(run: Shell, words: list[str]) -> None:
    told = run(*words, "--json")

    assert told.kinds == ["error"]
    assert told.the("error")["exit_code"] == told.code
    assert told.code in {2, 3}


@pytest.mark.parametrize("typed", ["15d", "1.5h", "90", "0.5s", "123456789s"])
def test_the_options_of_the_command_that_goes_on_are_those_that_were_typed(typed: str) -> None:
    assert duration(str(duration(typed))) == duration(typed)
    assert amount(str(amount(typed.rstrip("dhs")))) == amount(typed.rstrip("dhs"))


# --- signals ---------------------------------------------------------------------------------------------------------


def test_a_signal_that_was_to_be_ignored_still_is(run: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    """As in `iceye-async ... &` in a script."""
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    monkeypatch.setattr(running, "flush", lambda: signal.raise_signal(signal.SIGINT))
    try:
        told = run("tasks", "get", (stage := Stage(VESSELS, **AT_ONCE)).id, on=stage)
        assert signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGINT, before)

    assert told.code == 0


def test_after_a_command_signals_are_heard_as_before(run: Shell) -> None:
    before = [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)]

    run("tasks", "list", on=Stage(VESSELS, **AT_ONCE))

    assert [signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)] == before


def test_a_batch_says_that_files_do_not_come(run: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("iceye_async.batch.landing._PAUSES", (1.0,))
    monkeypatch.setattr("iceye_async.batch.landing._NIGHT", 0)
    stage = Stage(VESSELS, **AT_ONCE, link_faults=[{"status": 500, "times": 10_000}])

    told = run("batch", "run", "--journal", "n.db", "--to", "files", stage.id, on=stage)

    assert told.code == 1
    assert [line for line in told.complaints if "files of a task do not come" in line and stage.id in line]


# --- what programs and people would be misled by ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("status", "transient"), [(503, False), (429, True), (400, False)], ids=["may be booked", "throttled", "refused"]
)
def test_an_order_is_only_called_transient_where_it_was_certainly_not_booked(
    run: Shell, status: int, transient: bool
) -> None:
    stage = Stage({}, **AT_ONCE, faults=[Fault(call="createTask", status=status, retry_after=9999, times=100)])
    order = ["--mode", "SPOTLIGHT", "--point", "1,2", "--window", "2026-01-02/2026-01-03", "--yes"]

    told = run("tasks", "create", *order, "--json", on=stage)

    assert told.the("error")["status"] == status
    assert told.the("error")["transient"] is transient


def test_how_long_the_service_wants_to_be_left_alone_is_told(run: Shell) -> None:
    stage = Stage({}, **AT_ONCE, faults=[Fault(call="getTask", status=429, retry_after=7200, times=100)])

    told = run("tasks", "get", stage.id, "--json", on=stage)

    assert told.the("error")["retry_after"] == 7200
    assert "2 h 00 min" in told.err
    assert "rate_limit" not in told.err


class Full(io.StringIO):
    """A disk without room."""

    def write(self, text: str) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")


def test_what_could_not_be_written_makes_a_wait_that_is_complete_a_failure(
    run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage = Stage(VESSELS, **AT_ONCE)
    with monkeypatch.context() as patched:
        patched.setattr("sys.stdout", Full())
        patched.setattr(running, "forget", lambda stream: None)
        told = run("derivatives", "watch", stage.id, "--to", "files", on=stage)

    assert list(Path("files").glob("*.geojson"))
    assert told.code == 1
    assert "the output cannot be written: No space left on device" in told.err


def test_the_path_of_a_file_is_the_same_from_everywhere(run: Shell, tmp_path: Path) -> None:
    stage = Stage(VESSELS, **AT_ONCE)

    told = run("derivatives", "watch", stage.id, "--to", "files", "--json", on=stage)

    assert Path(told.the("file")["path"]).parent == tmp_path / "files"


@pytest.mark.parametrize(("words", "kind"), [("batch run --journal", "file"), ("derivatives watch --to", "dir")])
def test_the_shell_completes_names_of_files(words: str, kind: str) -> None:
    found = ShellComplete(app, {}, "iceye-async", "").get_completions(words.split(), "x")

    assert [one.type for one in found] == [kind]


@pytest.mark.parametrize("name", ["ICEYE_BASE_URL", "ICEYE_CLIENT_SECRET"])
def test_the_doctor_ticks_off_nothing_that_is_wrong(run: Shell, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    for variable in ("ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET"):
        monkeypatch.setenv(variable, "https://id.example/token" if variable == "ICEYE_TOKEN_URL" else "something-else")
    monkeypatch.setenv(name, "<fill this in>")

    told = run("doctor", "--json")

    assert told.code == 3
    assert {one["name"] for one in told.of("check") if one["state"] == "failed"} == {name, "credentials"}


def test_a_wait_whose_files_do_not_come_is_not_called_complete(run: Shell) -> None:
    stage = Stage(VESSELS, **AT_ONCE, link_faults=[{"status": 403, "times": 10_000}])

    told = run("derivatives", "watch", stage.id, "--to", "files", on=stage)

    assert told.code == 1
    assert "complete" not in told.out
    assert "failed" in told.lines[-1]


def test_a_demo_that_was_stopped_cannot_be_gone_on_with(run: Shell, monkeypatch: pytest.MonkeyPatch) -> None:
    async def stopped(out: object, client: object, wait: DerivativeWait, *_: object) -> None:
        wait.close()
        raise KeyboardInterrupt

    monkeypatch.setattr("iceye_async.cli.demo.follow", stopped)

    told = run("demo", "--json")

    assert (told.code, told.the("stopped")["go_on"]) == (130, None)


@pytest.mark.parametrize(
    ("word", "code"), [("author=me", 2), ("client_secret=abc", 3), ("ICEYE_ACCESS_TOKEN=abc", 3), ("--api-key=abc", 3)]
)
def test_what_names_a_secret_is_told_from_what_only_sounds_like_it(run: Shell, word: str, code: int) -> None:
    told = run(word)

    assert told.code == code
    assert "abc" not in told.err


def test_before_an_order_is_given_everything_that_was_chosen_is_shown(run: Shell) -> None:
    stage = Stage({}, **AT_ONCE)
    order = ["--mode", "SPOTLIGHT", "--point", "1,2", "--window", "2026-01-02/2026-01-03"]
    chosen = ["--exclusivity", "PRIVATE", "--priority", "COMMERCIAL", "--look-side", "LEFT", "--incidence", "20,30"]

    told = run.in_terminal("tasks", "create", *order, *chosen, "--reference", "ship-7", on=stage, keys="n\n")

    shown = " ".join(told.out.split())
    assert told.code == 1
    for words in (
        "exclusivity PRIVATE",
        "priority COMMERCIAL",
        "look side LEFT",
        "20 to 30 degrees",
        "reference ship-7",
    ):
        assert words in shown
    assert ("POST", "/api/tasking/v2/tasks") not in stage.requests


def test_an_update_says_whose_it_is_also_where_it_lists_nothing(run: Shell) -> None:
    stage = Stage(VESSELS, **AT_ONCE, faults=[Fault(call="listTaskDerivatives", status=206, body='{"data": []}')])

    told = run("derivatives", "watch", stage.id, "--json", "--every", "5", on=stage)

    assert {update["task_id"] for update in told.of("update")} == {stage.id}
    assert not told.of("update")[0]["fresh"]


def test_a_status_tells_how_many_tasks_it_does_not_show(run: Shell) -> None:
    stage = Stage({}, **AT_ONCE)
    run("batch", "run", "--journal", "n.db", *[f"unknown-{number}" for number in range(45)], on=stage)

    shown = run.in_terminal("batch", "status", "n.db", on=stage).out
    piped = run("batch", "status", "n.db", on=stage).lines

    assert "and 5 more" in shown
    assert len(piped) == 45


def test_requests_that_a_stopped_batch_leaves_behind_are_no_failures(
    run: Shell, monkeypatch: pytest.MonkeyPatch
) -> None:
    closed = []
    monkeypatch.setattr(Session, "close", lambda self, close=Session.close: closed.append(at_work()) or close(self))

    def at_work() -> list[str]:
        names = [task.get_name() for task in asyncio.all_tasks() if not task.done()]
        return [name for name in names if name == "iceye-async-batch"]

    stage = Stage(VESSELS, **AT_ONCE, told=lambda method, path: interrupt() if "derivatives" in path else None)
    told = run("batch", "run", "--journal", "n.db", stage.id, on=stage)

    assert told.code == 130
    assert closed
    assert not any(closed)
