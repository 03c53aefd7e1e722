"""Group G, the command line: secrets on it, Ctrl-C, pipes that break, odd terminals, hostile text, bad lists, bugs."""

import errno
import json
import os
import re
import shlex
import signal
import sys
import tempfile
from pathlib import Path

import pytest

from iceye_async.cli import running
from iceye_async.sandbox import Fault, LinkFault
from tests.commands import (
    COMMANDS,
    SOON,
    Shell,
    Stage,
    Terminal,
    ended,
    hides_cursor,
    interrupt,
    let_go,
    plain,
    ran,
    read_until,
    served,
    shell,
    spelled,
    start,
    strange,
)
from tests.desk import AT_ONCE, NOBODY
from tests.journals import unflush

ALWAYS = float("inf")
TWO = {"derivative_product_types": ["DC_VESSELS", "DC_AIRCRAFT"]}
DONE_SOON = {**AT_ONCE, "derivatives": {"DC_VESSELS": 0.0, "DC_AIRCRAFT": 0.0}}
NEEDS_CREDENTIALS = [name for name in COMMANDS if name not in {"batch status", "batch resume"}]
SECRET = "s3cr3t-of-m1ne"
CREDENTIALS = {
    "ICEYE_TOKEN_URL": "http://127.0.0.1:1/token",
    "ICEYE_BASE_URL": "http://127.0.0.1:1",
    "ICEYE_CLIENT_ID": "me",
    "ICEYE_CLIENT_SECRET": SECRET,
}
EVIL = "\x1b]0;owned\x07\u202egnp.[red]\r\nfake\x9b31m"
"""It sets a title, turns the reading direction, is markup, begins a line of its own, and sets a colour."""


@pytest.fixture
def run(monkeypatch, capsys):
    unflush(monkeypatch)
    yield Shell(monkeypatch, capsys)
    let_go()


@pytest.fixture(scope="module")
def service(tmp_path_factory):
    """A sandbox for processes.

    Of `slow-*` the vessels come, and nothing else; of `now-*` all comes soon; `slc-cog` never comes to its end.
    """
    scenario = tmp_path_factory.mktemp("scenario") / "mine.toml"
    scenario.write_text(
        """
[courses."slow-*"]
derivatives = { DC_VESSELS = 900 }

[courses."now-*"]
decided = 0
imaged = 0
fulfilled = 0
done = 0
derivatives = { DC_VESSELS = 2000, DC_AIRCRAFT = 4000 }

[courses."long-*"]
decided = 3e8

[[link_faults]]
path = "/slc-cog"
stall = 1000
times = inf
"""
    )
    with served(scenario) as service:
        yield service


@pytest.fixture
def slow(service):
    """A task of which the vessels come, and the aircraft never."""
    [task_id] = service.create({**TWO, "reference": "slow-1"})
    return task_id


def goes_on(told):
    """The arguments of the command that it says goes on."""
    [line] = re.findall(r"stopped; this goes on:\s+iceye-async (.*)", told)
    return shlex.split(line)


# --- G1: credentials -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", NEEDS_CREDENTIALS)
def test_g01_without_credentials_it_says_which_variables_to_set(run, command, tmp_path):
    told = run(*spelled(command, NOBODY, tmp_path))
    as_json = run(*spelled(command, NOBODY, tmp_path), "--json")

    assert (told.code, told.out) == (3, "")
    assert [line.startswith(f"iceye-async {command}: ") for line in told.complaints] == [True]
    assert "ICEYE_CLIENT_SECRET" in told.err
    assert (as_json.code, as_json.kinds) == (3, ["error"])
    assert list(tmp_path.iterdir()) == []


PLACEHOLDERS = ["", "  ", "<your secret>", "${SECRET}", "your-client-secret", "changeme", "XXXX"]


@pytest.mark.parametrize("name", [*CREDENTIALS, "ICEYE_ACCESS_TOKEN"])
@pytest.mark.parametrize("value", PLACEHOLDERS)
def test_g01_a_variable_that_is_empty_or_a_placeholder_is_named_and_its_value_is_not(run, monkeypatch, name, value):
    for other, good in CREDENTIALS.items() if name != "ICEYE_ACCESS_TOKEN" else ():
        monkeypatch.setenv(other, good)
    monkeypatch.setenv(name, value)
    run.secrets += [SECRET, *([value] if value.strip() else [])]

    told = run("tasks", "list")

    assert (told.code, told.out) == (3, "")
    assert name in told.err
    assert len(told.complaints) == 1


@pytest.mark.parametrize("value", ["a\nb", "caf\u00e9 \u2713", "a b\x00"[:3], "a\tb"])
def test_g01_a_token_that_no_header_can_hold_is_not_echoed(run, monkeypatch, value):
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", value)
    run.secrets.append(value)

    told = run("tasks", "list")

    assert told.code in {2, 3}
    assert "Traceback" not in told.err


@pytest.mark.parametrize("call", ["token", ""])
@pytest.mark.parametrize(
    "command", ["tasks list", "tasks watch", "products download", "derivatives watch", "batch run"]
)
def test_g01_credentials_that_are_refused_end_with_3(run, command, call, tmp_path):
    stage = Stage(**AT_ONCE, faults=[Fault(call=call, status=401, times=ALWAYS)])

    told = run(*spelled(command, stage.id, tmp_path), "--json", on=stage)

    assert told.code == 3
    assert told.the("error")["kind"] == "Unauthorized"
    assert told.the("error")["status"] == 401


@pytest.mark.parametrize("command", ["tasks get", "derivatives watch", "products list"])
def test_g01_what_they_do_not_allow_ends_with_3(run, command, tmp_path):
    stage = Stage(**AT_ONCE, faults=[Fault(status=403, details="not yours", times=ALWAYS)])

    told = run(*spelled(command, stage.id, tmp_path), on=stage)

    assert told.code == 3
    assert "not yours" in told.err


OPTIONS = ["--token", "--access-token", "--client-secret", "--secret", "--password", "--api-key", "--auth", "--bearer"]


@pytest.mark.parametrize("option", OPTIONS)
def test_g01_a_secret_as_an_option_is_refused_with_a_warning_and_not_echoed(run, option):
    stage = Stage()
    run.secrets.append("abc123xyz")
    for given in ([option, "abc123xyz"], [f"{option}=abc123xyz"]):
        for words in ([*given, "tasks", "list"], ["tasks", *given, "list"], ["tasks", "list", *given]):
            told = run(*words, on=stage)

            assert (told.code, told.out, stage.requests) == (3, "", []), words
            assert option in told.err
            assert re.search(r"visible|see|seen|read", told.err) is not None
            assert "environment" in told.err


@pytest.mark.parametrize("name", ["ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN", "client_secret"])
def test_g01_an_assignment_behind_the_command_is_not_echoed(run, name):
    """It belongs before the command, and comes after it by mistake."""
    run.secrets.append("abc123xyz")
    for words in (["tasks", "list"], ["tasks"], []):
        told = run(*words, f"{name}=abc123xyz", "tasks", "list", on=Stage())

        assert (told.code, told.out) == (3, ""), words
        assert name in told.err


@pytest.mark.parametrize("name", ["ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN"])
@pytest.mark.parametrize(
    "words",
    [
        ["tasks", "get", "@"],
        ["tasks", "@"],
        ["@"],
        ["tasks", "list", "@"],
        ["tasks", "list", "--contract", "@"],
        ["tasks", "list", "--contract=@"],
        ["tasks", "list", "--since", "@"],
        ["tasks", "get", "one,@,two", "--json"],
        ["--@", "tasks", "list"],
        ["products", "download", "one", "--to", "/tmp/@/files"],
        ["batch", "run", "--journal", "@.db", "one"],
        ["batch", "run", "--journal", "n.db", "--ids", "@", "one"],
        ["batch", "status", "@"],
        ["sandbox", "--scenario", "@"],
        ["demo", "--to", "@"],
    ],
    ids=" ".join,
)
def test_g01_the_value_of_a_secret_anywhere_in_the_arguments_is_refused_and_not_echoed(
    run, monkeypatch, name, words, tmp_path
):
    monkeypatch.chdir(tmp_path)
    for other, value in CREDENTIALS.items():
        monkeypatch.setenv(other, value)
    monkeypatch.setenv(name, SECRET)
    run.secrets.append(SECRET)
    stage = Stage()

    told = run(*(word.replace("@", SECRET) for word in words), on=stage)

    assert (told.code, stage.requests) == (3, [])
    assert "secret" in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("command", COMMANDS)
def test_g01_no_command_logs_a_secret(run, command, tmp_path):
    """That none is printed is looked at whenever a test runs a command."""
    stage = Stage(**{**DONE_SOON, "decided": 60.0} if command == "tasks cancel" else DONE_SOON)
    if command in {"batch resume", "batch status"}:
        run(*spelled("batch run", stage.id, tmp_path), "--json", on=stage)

    told = run(*spelled(command, stage.id, tmp_path), "--debug", on=stage)

    assert told.code == 0
    assert "/api/tasking/v2/tasks" in told.err or command in {"batch resume", "batch status"}


def test_g01_a_short_value_of_a_variable_does_not_make_words_of_a_command_a_secret(run, monkeypatch):
    """Who tests with a secret such as `a` can use the command line still."""
    monkeypatch.setenv("ICEYE_CLIENT_SECRET", "a")

    assert run("tasks", "list", on=Stage()).code == 0


NEVER_CLOSED = """
import asyncio, sys
from iceye_async import Client
from iceye_async.cli import main, running
async def close(self):
    print("cleaning up", flush=True)
    await asyncio.sleep(1000)
Client.close = close
sys.exit(main())
"""
"""The command line with a client that cannot be closed."""


# --- G2: Ctrl-C ------------------------------------------------------------------------------------------------------


def test_g02_ctrl_c_in_a_terminal_stops_a_watch_and_tells_how_to_go_on(service, slow, tmp_path):
    given = ["derivatives", "watch", slow, "--every", "0.05", "--to", tmp_path / "my files"]
    with Terminal(service, *given) as terminal:
        terminal.wait_for("DC_VESSELS")
        terminal.wait_for(r"\.geojson")
        terminal.type("\x03")
        told = terminal.end(within=SOON)

    assert told.code == 130
    assert not hides_cursor(told.out)
    assert "Traceback" not in told.out
    assert goes_on(plain(told.out))[:3] == ["derivatives", "watch", slow]


@pytest.mark.parametrize("command", ["tasks list", "tasks get", "batch status"])
def test_g02_ctrl_c_when_all_is_told_is_no_bug(run, monkeypatch, command, tmp_path):
    """Who pages through a long list sits where its end is being written."""
    flush, stage, keys = running.flush, Stage(**DONE_SOON), [interrupt]
    run(*spelled("batch run", stage.id, tmp_path), "--json", on=stage)
    monkeypatch.setattr(running, "flush", lambda: (keys and keys.pop()(), flush()))

    told = run(*spelled(command, stage.id, tmp_path), on=stage)

    assert told.code in {0, 130}
    assert "bug" not in told.err


def test_g02_where_ctrl_c_was_to_be_ignored_it_is(run):
    """As a shell has it for what a script starts with `&`."""
    stage = Stage(told=lambda method, path: interrupt(), **DONE_SOON)
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        told = run("tasks", "get", stage.id, on=stage)
    finally:
        signal.signal(signal.SIGINT, before)

    assert (told.code, told.err) == (0, "")


def test_g02_what_cannot_be_cleaned_up_is_left_after_five_seconds(service, slow):
    assert running._PATIENCE == SOON
    program = NEVER_CLOSED.replace("sys.exit", "running._PATIENCE = 0.1; sys.exit")
    given = ["derivatives", "watch", slow, "--json", "--every", "0.05"]
    with start(service, *given, program=[sys.executable, "-c", program]) as process:
        read = read_until(process, "update")
        process.send_signal(signal.SIGTERM)
        read += read_until(process, "cleaning up")
        told = ended(process, service, read, within=2.0)

    assert told.code == 143
    assert "Traceback" not in told.err
    assert goes_on(told.err)[:3] == ["derivatives", "watch", slow]


def test_g02_ctrl_c_twice_ends_at_once(service, slow):
    """Also where cleaning up would never end."""
    given = ["derivatives", "watch", slow, "--json", "--every", "0.05"]
    with start(service, *given, program=[sys.executable, "-c", NEVER_CLOSED]) as process:
        read = read_until(process, "update")
        process.send_signal(signal.SIGINT)
        read += read_until(process, "cleaning up")
        process.send_signal(signal.SIGINT)
        told = ended(process, service, read, within=1.0)

    assert told.code == 130
    assert "Traceback" not in told.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_g02_a_download_that_stands_still_stops_within_five_seconds(service, number, tmp_path):
    [task_id] = service.create({"product_types": ["GRD", "SLC-COG"], "reference": "now-1"})
    given = ["products", "download", task_id, "--asset", "slc-cog", "--asset", "grd-xml", "--to", tmp_path, "--json"]
    with start(service, *given) as process:
        read = read_until(process, '"file"')
        process.send_signal(number)
        told = ended(process, service, read, within=SOON)

    assert told.code == {signal.SIGINT: 130, signal.SIGTERM: 143}[number]
    assert told.kinds[-1] == "stopped"
    assert goes_on(told.err)[:3] == ["products", "download", task_id]
    assert [path.suffix for path in tmp_path.iterdir() if "slc-cog" in path.name and path.suffix == ".tif"] == []


@pytest.mark.parametrize("moment", [1, 6])
def test_g02_whenever_a_batch_is_interrupted_the_next_run_ends_it(run, moment, tmp_path):
    """At its so-manieth request of any kind."""
    stage, heard = Stage({}, TWO, {}, **AT_ONCE), []

    def told(method, path):
        heard.append(path)
        if len(heard) == moment:
            interrupt()

    stage.told = told
    given = ["batch", "run", "--journal", tmp_path / "a night.db", "--to", tmp_path / "files", *stage.ids, "--json"]
    first = run(*given, on=stage)
    stage.told = lambda method, path: None
    again = run(*goes_on(first.err), "--json", on=stage)

    assert first.code == 130
    assert first.kinds[-1] == "stopped"
    assert again.code == 0
    assert again.the("report")["completed"] == 3
    assert len(list((tmp_path / "files").glob("*/*.geojson"))) == 4


@pytest.mark.parametrize(
    ("keys", "code"), [("\x04", 1), ("maybe\r\r", 1), ("y\r", 0)], ids=["end of file", "neither, then enter", "yes"]
)
def test_g02_a_question_that_is_not_answered_by_yes_changes_nothing(run, keys, code):
    stage = Stage()

    told = run.in_terminal("tasks", "cancel", stage.id, on=stage, keys=keys)

    assert told.code == code
    assert ("PATCH" in {method for method, _ in stage.requests}) is (code == 0)
    assert "Traceback" not in told.out


def test_g02_ctrl_c_is_an_answer_too(service):
    [task_id] = service.create({"reference": "long-1"})
    with Terminal(service, "tasks", "cancel", task_id) as terminal:
        terminal.wait_for(r"\[y/N\]")
        terminal.type("\x03")
        told = terminal.end(within=SOON)

    assert (told.code, service.status(task_id)) == (130, "RECEIVED")
    assert "Traceback" not in told.out


# --- G3: pipes -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["tasks list", "derivatives watch"])
def test_g03_where_nobody_reads_the_output_it_ends_quietly(service, slow, command):
    read, write = os.pipe()
    os.close(read)
    given = spelled(command, slow, Path())
    process = start(service, *given, *(["--every", "0.05"] if "watch" in command else []), stdout=write)
    os.close(write)

    told = ended(process, service)

    assert (told.code, told.err) == (141, "")


def test_g03_a_batch_into_head_stops_and_can_be_gone_on_with(service, tmp_path):
    ids = service.create(*[{"reference": "now-1"}] * 3)
    command = f"iceye-async batch run --journal n.db --json --every 0.05 {' '.join(ids)}"
    told = shell(service, f"{command} | head -1; echo ${{PIPESTATUS[0]}}", tmp_path)
    again = ran(service, "batch", "resume", tmp_path / "n.db", "--json", "--every", "0.05")

    first, code = told.lines
    assert (json.loads(first)["event"], told.err) == ("updated", "")
    assert code in {"141", "0"}
    assert (again.code, again.the("report")["completed"]) == (0, 3)


@pytest.mark.parametrize(
    ("script", "codes", "complaints"),
    [
        ("iceye-async tasks list >&-", {0, 141}, 0),
        ("iceye-async tasks get nothing 2>&-", {4}, 0),
        ("iceye-async tasks list --json > /dev/full", {1}, 1),
        ("iceye-async tasks get {id} --debug > out 2> /dev/full", {0}, 0),
        ("iceye-async tasks get {id} <&- > /dev/full 2> /dev/full", {1}, 0),
        ("iceye-async --help > /dev/full", {1}, 1),
    ],
    ids=["stdout closed", "stderr closed", "full", "log full", "all of them", "help full"],
)
def test_g03_an_output_that_is_closed_or_full_ends_without_a_traceback(
    service, slow, script, codes, complaints, tmp_path
):
    told = shell(service, script.format(id=slow), tmp_path)

    assert told.code in codes
    assert len(told.complaints) == complaints, told.err
    assert (tmp_path / "out").read_text() != "" if " out " in script else True


@pytest.mark.parametrize("command", ["products download", "derivatives download", "derivatives watch"])
def test_g03_a_full_disk_behind_the_files_is_named_and_nothing_is_half_written(run, monkeypatch, command, tmp_path):
    stage = Stage(**DONE_SOON)

    def full(*_):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr("os.pwrite", full)
    told = run(*spelled(command, stage.id, tmp_path), "--to", tmp_path / "files", "--json", on=stage)

    assert told.code == 1
    assert {event["error"]["kind"] for event in told.of("failed_file")} <= {"DiskFull"}
    assert "no space left" in told.the("error")["message"]
    assert [path for path in (tmp_path / "files").rglob("*") if path.suffix in {".geojson", ".tif", ".png"}] == []


# --- G4: terminals and locales ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "command", ["tasks list", "tasks get", "tasks watch", "products list", "derivatives watch", "batch run"]
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_g04_what_the_output_cannot_hold_is_escaped(run, command, encoding, tmp_path):
    stage = Stage({"reference": "h\u00e4fen \u2713 \U0001f6f0"}, **DONE_SOON)

    told = run(*spelled(command, stage.id, tmp_path), on=stage, encoding=encoding)
    as_json = run(*spelled(command, stage.id, tmp_path), "--json", on=stage, encoding=encoding)

    assert (told.code, as_json.code) == (0, 0), told.err
    assert as_json.events
    assert "h\u00e4fen" in told.out or encoding == "ascii" or command != "tasks list"


def test_g04_in_the_c_locale_everything_is_ascii(service, tmp_path):
    service.create({"reference": "h\u00e4fen \u2713"})

    told = ran(service, "tasks", "list", env={"LC_ALL": "C", "PYTHONIOENCODING": "ascii", "PYTHONUTF8": "0"})

    assert (told.code, told.err) == (0, "")
    assert told.out.isascii()
    assert "fen" in told.out


def test_g04_a_watch_works_in_a_terminal_of_no_size(service, tmp_path):
    [task_id] = service.create({**TWO, "reference": "now-1"})
    given = ["derivatives", "watch", task_id, "--every", "0.05", "--to", tmp_path]
    with Terminal(service, *given, columns=0, rows=0) as terminal:
        told = terminal.end()

    assert told.code == 0
    assert "Traceback" not in told.out
    assert "DC_" in plain(told.out)
    assert not hides_cursor(told.out)
    assert len(list(tmp_path.glob("*.geojson"))) == 2


SCREENS = {
    "usual": {},
    "20 columns": {"COLUMNS": "20", "LINES": "5"},
    "0 columns": {"COLUMNS": "0", "LINES": "0"},
    "1 column": {"COLUMNS": "1", "LINES": "1"},
    "x columns": {"COLUMNS": "x"},
    "no colour": {"NO_COLOR": "1"},
    "dumb": {"TERM": "dumb"},
    "no kind": {"TERM": ""},
    "ascii": {"LC_ALL": "C"},
}


@pytest.mark.parametrize(
    ("command", "screen"),
    [(command, screen) for command in ("tasks list", "derivatives watch") for screen in SCREENS]
    + [("batch run", screen) for screen in ("usual", "20 columns", "0 columns", "dumb")]
    + [(command, screen) for command in ("tasks get", "products list") for screen in ("20 columns", "0 columns")],
)
def test_g04_every_command_works_in_any_terminal(run, command, screen, tmp_path):
    stage = Stage({**TWO, "reference": "h\u00e4fen \u2713"}, **AT_ONCE)
    given = [
        *spelled(command, stage.id, tmp_path),
        *(["--to", tmp_path] if command in {"batch run", "derivatives watch"} else []),
    ]

    told = run.in_terminal(*given, on=stage, encoding="ascii" if screen == "ascii" else "utf-8", **SCREENS[screen])

    assert told.code == 0
    assert "Traceback" not in told.out
    assert not hides_cursor(told.out)
    shown = re.sub(r"\s", "", plain(told.out))
    word = {"tasks": stage.id, "products": "GRD", "derivatives": "DC_VESSELS", "batch": ""}[command.split()[0]]
    assert word in shown or "column" in screen
    if screen == "dumb":
        assert "\x1b" not in told.out
    if screen == "ascii":
        assert told.out.isascii()
    if screen == "no colour":
        assert re.search(r"\x1b\[[0-9;]*(3[0-7]|9[0-7]|38)[0-9;]*m", told.out) is None
    if screen in {"20 columns", "0 columns", "x columns"}:
        assert shown


@pytest.mark.parametrize("screen", ["20 columns", "0 columns", "1 column", "dumb", "ascii"])
def test_g04_the_doctor_sees_patients_in_any_terminal(run, screen):
    encoding = "ascii" if screen == "ascii" else "utf-8"

    told = run.in_terminal("doctor", on=Stage(), encoding=encoding, **SCREENS[screen])

    assert told.code == 0
    assert "Traceback" not in told.out
    assert "ICEYE_CLIENT_ID" in re.sub(r"\s", "", plain(told.out)) or screen == "1 column"


@pytest.mark.parametrize("columns", ["0", "1", "20", "-1", "x", "9" * 30])
def test_g04_lines_for_programs_are_as_long_as_they_are(run, monkeypatch, columns, tmp_path):
    stage = Stage({"reference": "x" * 200}, **DONE_SOON)
    commands = [
        spelled(name, stage.id, tmp_path) for name in ("tasks list", "tasks get", "products list", "derivatives get")
    ]
    usual = [run(*words, on=stage) for words in commands]
    with monkeypatch.context() as patched:
        # Not until the test is over: pytest itself writes in so many columns.
        patched.setenv("COLUMNS", columns)
        told = [run(*words, on=stage) for words in commands]

    assert told == usual
    assert "x" * 200 in usual[0].out


@pytest.mark.parametrize("command", ["tasks list", "tasks get", "tasks watch", "derivatives watch", "batch run"])
def test_g04_output_that_is_no_terminal_has_no_colours_whatever_the_environment_says(
    run, monkeypatch, command, tmp_path
):
    for name in ("FORCE_COLOR", "CLICOLOR_FORCE", "TTY_COMPATIBLE", "TTY_INTERACTIVE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("TERM", "xterm-256color")
    monkeypatch.setenv("COLORTERM", "truecolor")
    stage = Stage(**DONE_SOON)

    told = run(*spelled(command, stage.id, tmp_path), on=stage)

    assert told.code == 0
    assert strange(told.out + told.err) == set()


# --- G5: JSON of what fails in part ----------------------------------------------------------------------------------


@pytest.mark.parametrize("failing", [0, 1, 2, 5])
def test_g05_a_download_has_one_line_for_each_file_and_an_exit_code_for_each_end(run, failing, tmp_path):
    keys = ["grd-tif", "grd-xml", "quicklook-png", "thumbnail-json", "thumbnail-png"]
    faults = [LinkFault(path=f"/{key}", status=500, times=ALWAYS) for key in keys[:failing]]
    stage = Stage(**AT_ONCE, link_faults=faults)

    told = run("products", "download", stage.id, "--to", tmp_path, "--json", on=stage)

    assert told.code == {0: 0, 5: 1}.get(failing, 7)
    assert sorted(event["asset"].rpartition("/")[2] for event in told.of("failed_file")) == keys[:failing]
    assert sorted(event["asset"].rpartition("/")[2] for event in told.of("file")) == keys[failing:]
    assert len(told.of("error")) == bool(failing)
    assert len(told.of("done")) == (not failing)


@pytest.mark.parametrize("failing", [0, 1, 3])
def test_g05_a_batch_has_one_end_for_each_task_and_an_exit_code_for_each_end(run, failing, tmp_path):
    orders = [{"reference": f"gone-{number}" if number < failing else "good"} for number in range(3)]
    stage = Stage(*orders, **DONE_SOON, courses={"gone-*": {"ends": "REJECTED"}})

    told = run("batch", "run", "--journal", tmp_path / "n.db", *stage.ids, "--json", on=stage)

    ends = [event for event in told.events if event["event"] in {"finished", "failed"}]
    assert sorted(event["task_id"] for event in ends) == sorted(stage.ids)
    assert [len(told.of("failed")), len(told.of("finished"))] == [failing, 3 - failing]
    assert told.code == {0: 0, 1: 7}.get(failing, told.code)
    assert told.code not in {0, 7} or failing < 3
    assert told.kinds[-1] in {"report", "error"}
    assert len(told.of("report")) == 1


def test_g05_a_wait_that_fails_has_told_what_came(run, tmp_path):
    stage = Stage(TWO, **AT_ONCE, courses={"*": {"derivatives": {"DC_VESSELS": 60.0}}})

    told = run("derivatives", "watch", stage.id, "--timeout", "1h", "--json", on=stage)

    assert (told.code, told.kinds[-1], told.kinds.count("error")) == (6, "error", 1)
    assert told.of("update")[-1]["ready"] == ["DC_VESSELS"]


# --- G6: hostile text ------------------------------------------------------------------------------------------------

TEXTS = (
    "\x1b]0;owned\x07",  # a title
    "\x1b[2J\x1b[H",  # clears the screen
    "\x9b31m\x9d0;owned\x9c",  # the same in 8 bits
    "\u202egnp.exe\u2066",  # turns the reading direction
    "\niceye-async tasks get: all is well\rtwo\u2028three\u2029four\x0bfive\x85six\x1cseven",
    "\teight",
)
MARKUP = "[bold red]x[/bold red][/]x[/nothing][link=file:///etc/passwd]x[/link] :warning: %s %(x)s {0} {x!r} %%"
HOSTILE = {
    "all": "one".join(TEXTS),
    "markup": MARKUP,
    "null": "one\x00two",
    "surrogate": "\ud800x",
    "long": "x" * 100_000,
}


def document(stage, **changes):
    """A task as the service would send it, but for these."""
    sent = {
        "id": stage.id,
        "contractID": stage.contract_id,
        "pointOfInterest": {"lat": 1.0, "lon": 2.0},
        "imagingMode": "SPOTLIGHT",
        "acquisitionWindow": {"start": "2026-01-01T00:00:00Z", "end": "2026-01-02T00:00:00Z"},
        "status": "DONE",
        "createdAt": "2026-01-01T00:00:00Z",
        "updatedAt": "2026-01-01T00:00:00Z",
    }
    return sent | changes


def faults_of(place, text, stage):
    """Answers that have a text in this place, to commands that show it."""
    listed = {
        "id": "d1",
        "derivativeProductType": "DC_VESSELS",
        "assets": [{"type": "geojson", "href": "https://l.example/x"}],
    }
    product = {
        "id": "p1",
        "properties": {"sar:product_type": "GRD"},
        "assets": {"grd-tif": {"href": "https://l.example/x"}},
    }
    bodies = {
        "status": ("getTask", document(stage, status=text)),
        "mode": ("getTask", document(stage, imagingMode=text)),
        "reference": ("getTask", document(stage, reference=text)),
        "list": ("listTasks", {"data": [document(stage, status=text, reference=text)]}),
        "derivative type": ("listTaskDerivatives", {"data": [listed | {"derivativeProductType": text}]}),
        "derivative id": ("listTaskDerivatives", {"data": [listed | {"id": text}]}),
        "asset type": (
            "listTaskDerivatives",
            {"data": [listed | {"assets": [{"type": text, "href": "https://l.example/x"}]}]},
        ),
        "product id": ("listTaskProducts", {"data": [product | {"id": text}]}),
        "product type": ("listTaskProducts", {"data": [product | {"properties": {"sar:product_type": text}}]}),
        "asset key": (
            "listTaskProducts",
            {"data": [product | {"assets": {text: {"href": "https://l.example/x", "title": text}}}]},
        ),
        "code": ("getTask", {"code": text, "message": text}),
        "detail": ("getTask", {"title": text, "code": "x", "details": text}),
    }
    call, body = bodies[place]
    status = 400 if place in {"code", "detail"} else 200
    return [
        Fault(
            call=call, status=status, headers={"Content-Type": "application/json"}, body=json.dumps(body), times=ALWAYS
        )
    ]


PLACES = {
    "status": "tasks get",
    "mode": "tasks get",
    "reference": "tasks get",
    "list": "tasks list",
    "derivative type": "derivatives get",
    "derivative id": "derivatives get",
    "asset type": "derivatives get",
    "product id": "products list",
    "product type": "products list",
    "asset key": "products list",
    "code": "tasks get",
    "detail": "tasks get",
}


@pytest.mark.parametrize("place", PLACES)
def test_g06_text_of_the_service_cannot_do_anything_to_a_terminal(run, place, tmp_path):
    stage = Stage(**DONE_SOON)
    given = spelled(PLACES[place], stage.id, tmp_path)
    stage.faults = faults_of(place, "harmless", stage)
    usual = run(*given, on=stage)
    for kind, text in HOSTILE.items():
        stage.faults = faults_of(place, text, stage)

        told = run(*given, on=stage)

        shown = told.out + told.err
        assert strange(shown) == set(), (kind, place)
        assert told.code not in {70, 2}, (kind, told.err)
        assert told.code == usual.code or kind in {"surrogate", "null", "long"}, (kind, told.err)
        if told.code == usual.code:
            assert len(told.lines) == len(usual.lines), (kind, told.out)
            assert len(told.complaints) == len(usual.complaints), (kind, told.err)
            assert [line.count("\t") for line in told.lines] == [line.count("\t") for line in usual.lines]
        assert text in shown or kind != "markup" or "harmless" not in usual.out + usual.err


@pytest.mark.parametrize("place", PLACES)
def test_g06_json_keeps_the_text_as_it_was_sent(run, place, tmp_path):
    stage = Stage(**DONE_SOON)
    for kind, text in HOSTILE.items():
        stage.faults = faults_of(place, text, stage)

        told = run(*spelled(PLACES[place], stage.id, tmp_path), "--json", on=stage)

        assert told.events, kind
        if told.code == 0:
            assert json.dumps(text)[1:-1] in told.out, (kind, place)


@pytest.mark.parametrize("command", ["tasks list", "tasks get", "derivatives get", "derivatives watch", "batch run"])
def test_g06_a_terminal_shows_no_escape_of_the_service(run, command, tmp_path):
    evil = "DC_" + EVIL
    order = {"reference": EVIL, "derivative_product_types": ["DC_VESSELS", evil]}
    stage = Stage(order, **{**AT_ONCE, "derivatives": {"DC_VESSELS": 0.0, evil: 60.0}})

    told = run.in_terminal(*spelled(command, stage.id, tmp_path), on=stage)

    assert told.code == 0
    assert "\x1b]" not in told.out
    assert strange(plain(told.out)) == set()
    assert "[red]" in told.out or command in {"derivatives watch", "batch run"}


# --- G7: lists and flags ---------------------------------------------------------------------------------------------

WAYS = {
    "plain": lambda text: text.encode(),
    "no line end": lambda text: text.strip().encode(),
    "CRLF": lambda text: text.replace("\n", "\r\n").encode(),
    "CR": lambda text: text.replace("\n", "\r").encode(),
    "BOM": lambda text: text.encode("utf-8-sig"),
    "BOM and CRLF": lambda text: text.replace("\n", "\r\n").encode("utf-8-sig"),
    "UTF-16": lambda text: text.encode("utf-16"),
    "UTF-16 LE": lambda text: b"\xff\xfe" + text.encode("utf-16-le"),
    "UTF-16 BE and CRLF": lambda text: b"\xfe\xff" + text.replace("\n", "\r\n").encode("utf-16-be"),
    "comments and blanks": lambda text: ("# mine\n\n  \n\t\n" + text.replace("\n", "\n\n#x\n")).encode(),
    "columns": lambda text: text.replace("\n", "\tDONE\th\u00e4fen, # 7\n").encode(),
    "spaces": lambda text: text.replace("\n", "  \n").encode(),
}


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("where", ["file", "stdin", "argument"])
def test_g07_a_list_is_read_as_editors_and_other_programs_write_it(run, way, where, tmp_path):
    stage = Stage({}, {}, **DONE_SOON)
    written = WAYS[way]("".join(f"{name}\n" for name in stage.ids))
    (tmp_path / "ids.txt").write_bytes(written)
    given = {"file": ["--ids", tmp_path / "ids.txt"], "stdin": ["--ids", "-"], "argument": ["-"]}[where]

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--json", *given, on=stage, stdin=written)

    assert told.code == 0, told.err
    assert {event["task_id"] for event in told.of("finished")} == set(stage.ids)


BAD = {
    "too long, after others that count": (b"good\n# x\n\n" + b"y" * 2000 + b"\n", 4, "yyy"),
    "too long": (b"good\n" + b"x" * 1_000_000 + b"\n", 2, "xxxxxxxx"),
    "not UTF-8": ("good\n\nh\u00e4fen\n".encode("latin-1"), 3, "e4"),
    "not UTF-8, of a Mac": ("good\r\rh\u00e4fen\r".encode("latin-1"), 3, "e4"),
    "UTF-16 without a mark": ("good\nbad\n".encode("utf-16-le"), 1, ""),
    "null": (b"good\r\nb\x00d\r\n", 2, "b"),
    "dots": (b"# mine\n..\n", 2, ".."),
    "half UTF-16": (b"\xff\xfeg\x00o\x00o\x00d\x00\n\x00x\x00\xd8", 2, ""),
}


@pytest.mark.parametrize("where", ["file", "stdin"])
@pytest.mark.parametrize("kind", BAD)
def test_g07_what_can_be_no_id_is_named_with_file_line_and_value(run, kind, where, tmp_path):
    written, line, value = BAD[kind]
    (tmp_path / "ids.txt").write_bytes(written)
    stage = Stage()

    told = run(
        "batch", "run", "--journal", tmp_path / "n.db", "--ids", tmp_path / "ids.txt" if where == "file" else "-",
        on=stage, stdin=written,
    )  # fmt: skip

    assert (told.code, told.out, stage.requests) == (2, "", [])
    assert ("ids.txt" if where == "file" else "standard input") in told.err or where == "stdin"
    assert re.search(rf"\bline {line}\b", told.err) is not None, told.err
    assert value in told.err
    assert len(told.err) < 1500
    assert strange(told.err) == set()
    assert not (tmp_path / "n.db").exists()


@pytest.mark.parametrize("found", ["nothing", "folder", "unreadable", "socket name"])
def test_g07_a_list_that_cannot_be_read_is_named(run, found, tmp_path):
    path = {"nothing": tmp_path / "none.txt", "folder": tmp_path, "unreadable": Path("/proc/self/mem")}.get(
        found, tmp_path / ("x" * 300)
    )
    stage = Stage()

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--ids", path, on=stage)

    assert told.code in {1, 2}
    assert str(path)[:100] in told.err
    assert "Traceback" not in told.err
    assert (stage.requests, (tmp_path / "n.db").exists()) == ([], False)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_g07_a_list_that_may_not_be_read_is_named(run, tmp_path):
    (tmp_path / "ids.txt").write_text("one\n")
    (tmp_path / "ids.txt").chmod(0)

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--ids", tmp_path / "ids.txt", on=Stage())

    assert told.code in {1, 2}
    assert "ids.txt" in told.err


@pytest.mark.parametrize("given", ["", "..", "x" * 2000])
def test_g07_an_argument_that_can_be_no_id_is_named(run, given, tmp_path):
    stage = Stage()

    told = run("batch", "run", "--journal", tmp_path / "n.db", stage.id, given, on=stage)

    assert (told.code, stage.requests, (tmp_path / "n.db").exists()) == (2, [], False)
    assert strange(told.err) == set()
    assert len(told.err) < 1500


@pytest.mark.parametrize("odd", ["one two", "b\x1b[2Jd", "../x", "\u202eabc", "-x", "[/]", "%2e%2e"])
def test_g07_an_odd_id_does_nothing_to_the_others_or_to_the_terminal(run, odd, tmp_path):
    stage = Stage(**DONE_SOON)
    (tmp_path / "ids.txt").write_text(f"{stage.id}\n{odd}\n")
    given = ["--ids", tmp_path / "ids.txt", "--to", tmp_path / "files"]

    told = run("batch", "run", "--journal", tmp_path / "n.db", *given, on=stage)
    events = run("batch", "status", tmp_path / "n.db", "--json").of("outcome")
    shown = run("batch", "status", tmp_path / "n.db")

    assert told.code == 7
    assert strange(told.out + told.err + shown.out) == set()
    assert {event["task_id"]: event["error"] for event in events} == {stage.id: None, odd: "TaskNotFound"}
    assert [path.name for path in (tmp_path / "files").iterdir()] == [stage.id]


def test_g07_unknown_ids_among_known_ones_fail_alone(run, tmp_path):
    stage = Stage({}, {}, **DONE_SOON)
    (tmp_path / "ids.txt").write_text(f"{stage.ids[0]}\n{NOBODY}\nnot-even-a-uuid\n{stage.ids[1]}\n")

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--ids", tmp_path / "ids.txt", "--json", on=stage)

    assert told.code == 7
    assert {event["task_id"] for event in told.of("failed")} == {NOBODY, "not-even-a-uuid"}
    assert {event["error"]["kind"] for event in told.of("failed")} == {"TaskNotFound"}
    assert told.the("report")["completed"] == 2


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (["tasks", "list", "--sinse", "2026-01-01"], "--sinse"),
        (["tasks", "watch", "x", "--timeout", "5 fortnights"], "5 fortnights"),
        (["tasks", "create", "--mode", "SPOTLIGHT", "--point", "Helsinki", "--window", "a/b", "--yes"], "Helsinki"),
        (["products", "list", "x", "--type"], "--type"),
        (["batch", "run", "x"], "--journal"),
        (["batch", "run", "--journal", "n.db", "--rate", "fast", "x"], "fast"),
        (["derivatives", "watch", "x", "--type", ""], "--type"),
        (["tasks", "list", "--limit", "\u0661\u0662\u0663x"], "--limit"),
        (["doctor", "--verbose"], "--verbose"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_g07_a_wrong_flag_or_value_is_named(run, words, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    stage = Stage()

    told = run(*words, on=stage)

    assert (told.code, told.out, stage.requests) == (2, "", [])
    assert named in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("bad", ["\x1b]0;owned\x07", "\u202eabc", "a\nb: c"])
def test_g07_a_wrong_value_is_named_without_what_it_could_do(run, bad):
    for words in (
        ["tasks", "watch", "x", "--timeout", bad],
        ["tasks", bad],
        ["tasks", "list", f"--{bad}"],
        ["tasks", "get", bad],
    ):
        told = run(*words, on=Stage())

        assert told.code in {2, 4}
        assert strange(told.err) == set()


# --- G8: bugs --------------------------------------------------------------------------------------------------------

LINK = "https://l.example/x?Expires=1&Signature=c4n4ry-signature&Key-Pair-Id=K"


def bug(kind):
    """An error that nobody expected, with all secrets in its text."""
    text = f"{LINK} {SECRET} Authorization: Bearer {SECRET} \x1b[2J\n{'x' * 5000}"
    if kind == "cause":
        raise KeyError(text) from ValueError(text)
    raise {
        "key": KeyError(text),
        "group": ExceptionGroup(text, [KeyError(text), ValueError(text)]),
        "recursion": RecursionError(text),
        "note": _noted(text),
        "os": OSError(errno.EIO, text, text),
        "unprintable": _Unprintable(text),
    }[kind]


def _noted(text):
    error = AssertionError(text)
    error.add_note(text)
    return error


class _Unprintable(Exception):
    def __str__(self):
        raise ValueError(LINK)

    __repr__ = __str__


@pytest.fixture
def broken(run, monkeypatch, tmp_path):
    """Runs a command in which there is a bug; what is written by it is in the folder `reports`."""
    reports = tmp_path / "reports"
    reports.mkdir()
    for name in ("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(reports))
    monkeypatch.setattr(tempfile, "tempdir", str(reports))
    monkeypatch.chdir(reports)
    monkeypatch.setenv("ICEYE_CLIENT_SECRET", SECRET)
    run.secrets += [SECRET]

    def broken(kind, *words, stage=None):
        def fail(self, *args, **options):
            secret_of_this_frame = SECRET + LINK
            bug(kind)
            return secret_of_this_frame

        for name in ("tasks.Tasks.get", "tasks.Tasks.list", "products.Products.list"):
            monkeypatch.setattr(f"iceye_async.resources.{name}", fail)
        monkeypatch.setattr("iceye_async.client.Client.await_derivatives", fail)
        monkeypatch.setattr("iceye_async.client.Client.await_batch", fail)
        return run(*words, on=stage or Stage())

    return broken


def written_in(folder):
    return [path for path in folder.rglob("*") if path.is_file()]


KINDS = ["key", "cause", "group", "recursion", "note", "unprintable"]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("command", ["tasks get", "derivatives watch", "batch run"])
def test_g08_a_bug_is_one_line_and_a_report_without_secrets(broken, command, kind, tmp_path):
    told = broken(kind, *spelled(command, NOBODY, tmp_path / "elsewhere"))

    assert (told.code, told.out) == (70, "")
    assert len(told.complaints) == 1
    assert told.err.startswith("iceye-async")
    assert len(told.err) < 1000
    [report] = written_in(tmp_path / "reports")
    assert str(report) in told.err
    text = report.read_text()
    assert not any(secret in text for secret in (SECRET, "c4n4ry", "Signature=c", "secret_of_this_frame"))
    assert "iceye_async" in text
    assert report.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("kind", KINDS)
def test_g08_debug_shows_the_traceback_without_locals_and_secrets(broken, kind):
    told = broken(kind, "tasks", "get", NOBODY, "--debug")

    assert told.code == 70
    assert "Traceback (most recent call last)" in told.err
    assert "test_g_command_line.py" in told.err
    assert "secret_of_this_frame =" not in told.err.replace("secret_of_this_frame = SECRET", "")
    assert strange(told.err) == set()


@pytest.mark.parametrize("kind", KINDS)
def test_g08_a_bug_is_an_error_event(broken, kind):
    told = broken(kind, "tasks", "list", "--json")

    assert (told.code, told.kinds) == (70, ["error"])
    assert (told.the("error")["exit_code"], told.the("error")["transient"]) == (70, False)


def test_g08_where_no_report_can_be_written_the_line_comes_all_the_same(broken, monkeypatch, tmp_path):
    taken = tmp_path / "taken"
    taken.write_text("")
    stage = Stage()
    for name in ("HOME", "TMPDIR", "XDG_STATE_HOME", "XDG_CACHE_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(taken))
    monkeypatch.setattr(tempfile, "tempdir", str(taken))

    told = broken("key", "tasks", "get", NOBODY, stage=stage)

    assert told.code == 70
    assert told.complaints[0].startswith("iceye-async")
    assert "Traceback" not in told.err


def test_g08_an_error_of_the_system_is_no_bug(broken, tmp_path):
    """A disk or a socket that fails where nobody has wrapped it."""
    told = broken("os", "tasks", "get", NOBODY)

    assert told.code in {1, 70}
    assert len(told.complaints) == 1
    assert "Traceback" not in told.err


@pytest.mark.parametrize("place", ["at the beginning", "half way"])
def test_g08_a_bug_leaves_the_journal_for_the_next_run(run, monkeypatch, tmp_path, place):
    stage = Stage({}, {}, **DONE_SOON)
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    given = ["batch", "run", "--journal", tmp_path / "n.db", *stage.ids, "--json"]
    with monkeypatch.context() as patched:
        if place == "half way":
            patched.setattr("iceye_async.batch.batch.Batch.__anext__", _fail_after(2))
        else:
            patched.setattr("iceye_async.batch.batch.Engine", None)
        first = run(*given, on=stage)

    again = run(*given, on=stage)

    assert first.code == 70
    assert (again.code, again.the("report")["completed"]) == (0, 2)


def _fail_after(count):
    from iceye_async.batch.batch import Batch

    step, left = Batch.__anext__, [count]

    async def anext_(self):
        left[0] -= 1
        if left[0] < 0:
            raise KeyError("x")
        return await step(self)

    return anext_
