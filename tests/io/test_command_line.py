"""What the command line promises: what each command takes, prints, writes, and ends with."""

import asyncio
import csv
import io
import json
import re
import shlex
import signal
import sys
import time
import tomllib
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from iceye_async import __version__, cli
from iceye_async.sandbox import Contract, Fault, LinkFault
from tests.commands import (
    COMMANDS,
    Ran,
    Service,
    Shell,
    Stage,
    ended,
    interrupt,
    let_go,
    paths,
    ran,
    read_until,
    served,
    spelled,
    start,
)
from tests.desk import AT_ONCE, NOBODY
from tests.journals import unflush

HOUR = 3600.0
DAY = 24 * HOUR
TWO = {"derivative_product_types": ["DC_VESSELS", "DC_AIRCRAFT"]}
"""An order for two types; the vessels come first."""
GRD = {"grd-tif", "grd-xml", "quicklook-png", "thumbnail-json", "thumbnail-png"}
NEVER = {**AT_ONCE, "derivatives": {}}
"""Products are there, and derivatives never."""


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Iterator[Shell]:
    unflush(monkeypatch)
    yield Shell(monkeypatch, capsys)
    let_go()


@pytest.fixture
def far_east(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Fourteen hours later here than in UTC."""
    monkeypatch.setenv("TZ", "EAST-14")
    time.tzset()
    yield
    monkeypatch.delenv("TZ")
    time.tzset()


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A sandbox for processes: of a task whose reference begins with `never`, nothing comes after the products."""
    scenario = tmp_path_factory.mktemp("scenario") / "mine.toml"
    scenario.write_text('[courses."never-*"]\nderivatives = {}\n')
    with served(scenario) as service:
        yield service


def goes_on(stopped: Ran) -> list[str]:
    """The arguments of the command that it says goes on."""
    [told] = re.findall(r"stopped; this goes on:\s+iceye-async (.*)", stopped.err)
    return shlex.split(told)


def ids_of(events: list[dict[str, Any]]) -> set[str]:
    return {event["task_id"] for event in events}


# --- what is there ---------------------------------------------------------------------------------------------------

ALL = [*COMMANDS, "sandbox", "demo", "doctor"]
WITH_LINKS = {"products list", "derivatives get", "derivatives watch", "batch run", "batch resume"}


@pytest.mark.parametrize("command", ALL)
def test_each_command_tells_what_it_takes(run: Shell, command: str) -> None:
    told = run(*command.split(), "--help")

    assert (told.code, told.err) == (0, "")
    assert f"iceye-async {command}" in told.out
    assert "--debug" in told.out
    assert ("--json" in told.out) is (command != "sandbox")
    assert ("--links" in told.out) is (command in WITH_LINKS)


@pytest.mark.parametrize("group", ["", "tasks", "products", "derivatives", "batch"])
def test_the_help_of_a_group_names_its_commands(run: Shell, group: str) -> None:
    told = run(*group.split(), "--help")

    assert told.code == 0
    for command in ALL:
        first, *second = command.split()
        assert group not in {"", first} or (second or [first])[0 if group else -1] in told.out or first in told.out


def test_the_version_is_that_of_the_package(run: Shell) -> None:
    told = run("--version")

    assert (told.code, told.out) == (0, f"iceye-async {__version__}\n")


@pytest.mark.parametrize(
    "words",
    [
        [],
        ["tasks"],
        ["task"],
        ["tasks", "lst"],
        ["tasks", "get"],
        ["tasks", "get", "one", "two"],
        ["tasks", "list", "--all"],
        ["tasks", "list", "--limit"],
        ["tasks", "watch", "one", "--every", "soon"],
        ["products", "download", "one"],
        ["derivatives", "download", "one"],
        ["batch", "run", "one"],
        ["batch", "status"],
        ["tasks", "list", "--links"],
    ],
    ids=" ".join,
)
def test_what_it_does_not_know_is_a_usage_error(run: Shell, words: list[str]) -> None:
    told = run(*words, on=Stage())

    assert (told.code, told.out) == (2, "")
    assert told.err
    assert "Traceback" not in told.err


def test_the_command_comes_with_the_extra() -> None:
    project = tomllib.loads((Path(__file__).parents[2] / "pyproject.toml").read_text())["project"]

    assert {re.match(r"\w+", named)[0] for named in project["optional-dependencies"]["cli"]} == {"click", "rich"}  # type: ignore[index]


@pytest.mark.parametrize("missing", ["click", "rich"])
def test_without_the_extra_it_says_what_to_install(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], missing: str
) -> None:
    for name in [name for name in sys.modules if name.startswith(("iceye_async.cli.", f"{missing}."))]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, missing, None)

    assert cli.main(["tasks", "list"]) == 1
    assert "pip install 'iceye-async[cli]'" in capsys.readouterr().err


# --- tasks: list and get ---------------------------------------------------------------------------------------------


def test_a_list_of_tasks_has_a_line_for_each_that_begins_with_its_id(run: Shell) -> None:
    stage = Stage({}, {"reference": "harbour 7"}, {}, **AT_ONCE)

    told = run("tasks", "list", on=stage)

    assert (told.code, told.err) == (0, "")
    assert [first for first, *_ in told.fields] == stage.ids
    assert all("DONE" in fields for fields in told.fields)
    assert len({len(fields) for fields in told.fields}) == 1
    assert any("harbour 7" in field for field in told.fields[1])


def test_a_list_of_tasks_as_json_has_the_documents_as_they_were_sent(run: Shell) -> None:
    stage = Stage({}, {"reference": "h\u00e4fen"}, **AT_ONCE)

    told = run("tasks", "list", "--json", on=stage)

    assert (told.code, told.err) == (0, "")
    assert told.kinds == ["task", "task"]
    assert [(event["task_id"], event["status"]) for event in told.events] == [(name, "DONE") for name in stage.ids]
    document = told.events[1]["task"]
    assert (document["id"], document["reference"]) == (stage.ids[1], "h\u00e4fen")
    assert {"contractID", "pointOfInterest", "acquisitionWindow", "createdAt"} <= set(document)


def test_a_list_of_nothing_is_empty(run: Shell) -> None:
    stage = Stage()

    for json_ in ([], ["--json"]):
        told = run("tasks", "list", "--until", "2025-12-31", *json_, on=stage)
        assert (told.code, told.out) == (0, "")


@pytest.mark.parametrize(
    ("options", "found"),
    [
        (["--since", "2026-01-02"], [1, 2]),
        (["--until", "2026-01-02"], [0]),
        (["--since", "2026-01-02", "--until", "2026-01-03"], [1]),
        (["--since", "2026-01-02T13:00:00Z"], [2]),
        (["--since", "2026-01-02T13:00"], [2]),
        (["--since", "2026-01-02 13:00:00"], [2]),
        (["--since", "2026-01-02T13:00:00+02:00"], [1, 2]),
        (["--since", "2026-01-02T11:59:59.5-01:00"], [2]),
        (["--limit", "2"], [0, 1]),
        (["--limit", "7"], [0, 1, 2]),
    ],
    ids=str,
)
@pytest.mark.usefixtures("far_east")
def test_a_list_can_be_narrowed(run: Shell, options: list[str], found: list[int]) -> None:
    stage = Stage({}, {"at": DAY + 12 * HOUR}, {"at": 3 * DAY})

    told = run("tasks", "list", *options, on=stage)

    assert told.code == 0
    assert [first for first, *_ in told.fields] == [stage.ids[number] for number in found]


def test_a_list_can_be_that_of_one_contract(run: Shell) -> None:
    stage = Stage(contracts=[Contract(name="one"), Contract(name="two")])

    mine, other = (run("tasks", "list", "--contract", name, on=stage) for name in stage.contract_ids)

    assert [len(mine.lines), len(other.lines)] == [1, 0]


@pytest.mark.parametrize("option", ["--since", "--until"])
@pytest.mark.parametrize(
    "value", ["yesterday", "2026-13-01", "2026-02-30", "", "1767225600", "2026-01-01T25:00", "0000-01-01"]
)
def test_a_time_that_is_none_is_named(run: Shell, option: str, value: str) -> None:
    stage = Stage()

    told = run("tasks", "list", option, value, on=stage)

    assert (told.code, told.out) == (2, "")
    assert option in told.err
    assert value in told.err
    assert stage.requests == []


@pytest.mark.parametrize("value", ["-1", "x", "1.5", "0"])
def test_a_limit_that_is_none_is_named(run: Shell, value: str) -> None:
    told = run("tasks", "list", "--limit", value, on=Stage())

    assert told.code == 2
    assert "--limit" in told.err
    assert value in told.err


def test_times_between_which_nothing_can_be_are_a_usage_error(run: Shell) -> None:
    assert run("tasks", "list", "--since", "2026-01-02", "--until", "2026-01-01", on=Stage()).code == 2


def test_a_task_is_shown(run: Shell) -> None:
    stage = Stage({"reference": "harbour 7"}, **AT_ONCE)

    told = run("tasks", "get", stage.id, on=stage)

    assert (told.code, told.err) == (0, "")
    for word in (stage.id, "DONE", "SPOTLIGHT", "harbour 7", stage.contract_id):
        assert word in told.out


def test_a_task_as_json_is_one_line(run: Shell) -> None:
    stage = Stage(**AT_ONCE)

    told = run("tasks", "get", stage.id, "--json", on=stage)

    assert told.code == 0
    event = told.the("task")
    assert (event["task_id"], event["status"], event["task"]["imagingMode"]) == (stage.id, "DONE", "SPOTLIGHT")


@pytest.mark.parametrize("task_id", ["", " ", ".", "..", "a" * 2000])
def test_what_can_be_the_id_of_nothing_is_a_usage_error(run: Shell, task_id: str) -> None:
    stage = Stage()

    told = run("tasks", "get", task_id, on=stage)

    assert (told.code, told.out, stage.requests) == (2, "", [])
    assert len(told.err) < 1500


# --- tasks: create and cancel ----------------------------------------------------------------------------------------

ORDER = ["--mode", "SPOTLIGHT", "--point", "60.2,24.9", "--window", "2026-01-02/2026-01-04"]


def test_a_task_is_created_as_it_was_ordered(run: Shell) -> None:
    stage = Stage()
    options = ["--product", "GRD", "--product", "SLC-COG", "--derivative", "DC_VESSELS", "--reference", "h\u00e4fen 7"]
    terms = ["--exclusivity", "PUBLIC", "--priority", "BACKGROUND", "--sla", "SLA_24H", "--eula", "STANDARD"]
    looks = ["--look-side", "LEFT", "--pass-direction", "ASCENDING", "--incidence", "20,35", "--duration", "12"]

    told = run("tasks", "create", *ORDER, *options, *terms, *looks, "--yes", "--json", on=stage)

    assert told.code == 0
    event = told.the("task")
    assert (event["task_id"] == event["task"]["id"], event["status"]) == (True, "RECEIVED")
    expected = {
        "contractID": stage.contract_id,
        "imagingMode": "SPOTLIGHT",
        "pointOfInterest": {"lat": 60.2, "lon": 24.9},
        "productTypes": ["GRD", "SLC-COG"],
        "reference": "h\u00e4fen 7",
        "exclusivity": "PUBLIC",
        "priority": "BACKGROUND",
        "sla": "SLA_24H",
        "eula": "STANDARD",
        "lookSide": "LEFT",
        "passDirection": "ASCENDING",
        "incidenceAngle": {"min": 20, "max": 35},
        "imagingDuration": 12,
    }
    assert {name: event["task"].get(name) for name in expected} == expected
    window = event["task"]["acquisitionWindow"]
    assert [datetime.fromisoformat(window[end]) for end in ("start", "end")] == [
        datetime(2026, 1, day, tzinfo=UTC) for day in (2, 4)
    ]


def test_a_created_task_is_told_with_its_id(run: Shell) -> None:
    stage = Stage()

    told = run("tasks", "create", *ORDER, "--yes", on=stage)

    assert told.code == 0
    assert stage.requests.count(("POST", "/api/tasking/v2/tasks")) == 1
    assert re.search(r"\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b", told.out) is not None


@pytest.mark.parametrize("command", ["create", "cancel"])
def test_without_a_terminal_what_may_cost_needs_a_yes(run: Shell, command: str) -> None:
    stage = Stage()

    told = run("tasks", command, *(ORDER if command == "create" else [stage.id]), on=stage, stdin=b"y\ny\n")

    assert (told.code, told.out) == (2, "")
    assert "--yes" in told.err
    assert {method for method, _ in stage.requests} <= {"GET"}


def test_of_several_contracts_one_must_be_named(run: Shell) -> None:
    stage = Stage(contracts=[Contract(name="one"), Contract(name="two")])

    told = run("tasks", "create", *ORDER, "--yes", on=stage)

    assert told.code == 2
    assert all(name in told.err for name in ("--contract", *stage.contract_ids))
    assert ("POST", "/api/tasking/v2/tasks") not in stage.requests
    named = run("tasks", "create", *ORDER, "--yes", "--contract", stage.contract_ids[1], "--json", on=stage)
    assert named.the("task")["task"]["contractID"] == stage.contract_ids[1]


WRONG = {
    "--point": ["60.2", "60.2;24.9", "a,b", "91,0", "0,181", "nan,0", "1,2,3", "", "inf,0"],
    "--window": [
        "2026-01-02",
        "2026-01-04/2026-01-02",
        "tomorrow/2026-01-04",
        "2026-01-02/",
        "/",
        "2026-01-02/2026-01-03/2026-01-04",
    ],
    "--incidence": ["20", "35,20", "a,b", "20.5,30", "-1,20"],
    "--duration": ["0", "-3", "x", "1.5"],
    "--reference": ["x" * 257, ""],
}


@pytest.mark.parametrize(("option", "value"), [(option, value) for option, values in WRONG.items() for value in values])
def test_a_value_that_no_order_can_have_is_named_and_nothing_is_ordered(run: Shell, option: str, value: str) -> None:
    stage = Stage()
    given = [*ORDER, "--yes"]
    if option in given:
        at = given.index(option)
        del given[at : at + 2]

    told = run("tasks", "create", *given, option, value, on=stage)

    assert (told.code, told.out) == (2, "")
    assert option in told.err
    assert any(part in told.err for part in re.split("[,/]", value)) or "257" in told.err
    assert ("POST", "/api/tasking/v2/tasks") not in stage.requests


@pytest.mark.parametrize("point", ["-33.9,18.4", "-33.9, 18.4", "0,0", "90,-180"])
def test_a_point_may_be_anywhere(run: Shell, point: str) -> None:
    stage = Stage()
    given = [point if word == "60.2,24.9" else word for word in ORDER]

    told = run("tasks", "create", *given, "--yes", "--json", on=stage)

    lat, lon = map(float, point.split(","))
    assert told.the("task")["task"]["pointOfInterest"] == {"lat": lat, "lon": lon}


def test_an_order_that_cannot_be_is_refused_before_it_is_sent(run: Shell) -> None:
    stage = Stage()

    told = run("tasks", "create", *ORDER, "--derivative", "DC_VESSELS", "--yes", on=stage)

    assert told.code == 2
    assert "GRD" in told.err
    assert ("POST", "/api/tasking/v2/tasks") not in stage.requests


def test_an_order_that_is_doubtful_is_sent_with_a_warning_on_one_line(run: Shell) -> None:
    stage = Stage()
    given = [word.replace("2026-01-04", "2026-01-02T05:00") for word in ORDER]

    told = run("tasks", "create", *given, "--yes", "--json", on=stage)

    assert (told.code, told.kinds) == (0, ["task"])
    assert "24 h" in told.err
    assert ".py" not in told.err
    assert len(told.complaints) == 1


def test_a_refused_order_says_what_the_service_said(run: Shell) -> None:
    stage = Stage(faults=[Fault(call="createTask", status=400, code="BUDGET", details="the budget is spent")])

    told = run("tasks", "create", *ORDER, "--yes", "--json", on=stage)

    assert told.code == 1
    error = told.the("error")
    assert (error["kind"], error["status"], error["code"], error["transient"]) == ("BadRequest", 400, "BUDGET", False)
    assert "the budget is spent" in error["message"]


def test_an_order_whose_answer_is_lost_may_have_been_carried_out(run: Shell) -> None:
    stage = Stage(faults=[Fault(call="createTask", reset=0)])

    told = run("tasks", "create", *ORDER, "--yes", on=stage)

    assert told.code == 1
    assert "may have been booked" in told.err
    assert stage.requests.count(("POST", "/api/tasking/v2/tasks")) == 1


def test_an_order_that_is_interrupted_is_looked_for_and_not_sent_again(run: Shell) -> None:
    stage = Stage(told=lambda method, path: interrupt() if method == "POST" and path.endswith("/tasks") else None)

    told = run("tasks", "create", *ORDER, "--yes", on=stage)

    assert told.code == 130
    assert goes_on(told)[:4] == ["tasks", "list", "--contract", stage.contract_id]
    assert run(*goes_on(told), on=stage).code == 0


def test_a_task_is_canceled(run: Shell) -> None:
    stage = Stage()

    told = run("tasks", "cancel", stage.id, "--yes", "--json", on=stage)
    shown = run("tasks", "cancel", stage.id, "--yes", on=stage)

    assert (told.code, told.the("task")["status"]) == (0, "CANCELED")
    assert (shown.code, stage.id in shown.out, "CANCELED" in shown.out) == (0, True, True)


def test_a_task_that_is_done_cannot_be_canceled(run: Shell) -> None:
    stage = Stage(**AT_ONCE)

    told = run("tasks", "cancel", stage.id, "--yes", on=stage)

    assert told.code == 1
    assert "DONE cannot be canceled" in told.err


# --- tasks: watch ----------------------------------------------------------------------------------------------------


def test_a_watched_task_is_told_at_each_status_until_its_products_are_there(run: Shell) -> None:
    stage = Stage()

    told = run("tasks", "watch", stage.id, "--json", on=stage)

    assert told.code == 0
    statuses = [event["status"] for event in told.of("task")]
    assert statuses[0] == "RECEIVED"
    assert statuses[-1] in {"FULFILLED", "DONE"}
    assert len(statuses) == len(set(statuses))
    assert ids_of(told.of("task")) == {stage.id}


def test_a_watched_task_has_plain_lines_where_there_is_no_terminal(run: Shell) -> None:
    stage = Stage()

    told = run("tasks", "watch", stage.id, on=stage)

    assert told.code == 0
    assert "\x1b" not in told.out
    places = [told.out.rfind(status) for status in ("RECEIVED", "ACTIVE", "DONE")]
    assert -1 not in places
    assert places == sorted(places)


@pytest.mark.parametrize(
    ("until", "last"),
    [(["ACTIVE"], "ACTIVE"), (["DONE"], "DONE"), (["ACTIVE", "FAILED"], "ACTIVE"), (["RECEIVED"], "RECEIVED")],
)
def test_a_task_can_be_watched_until_any_status(run: Shell, until: list[str], last: str) -> None:
    stage = Stage()

    told = run(
        "tasks", "watch", stage.id, "--json", *(word for status in until for word in ("--until", status)), on=stage
    )

    assert (told.code, told.of("task")[-1]["status"]) == (0, last)


@pytest.mark.parametrize("ends", ["REJECTED", "FAILED", "CANCELED"])
def test_a_task_that_ends_otherwise_ends_the_watch_with_5(run: Shell, ends: str) -> None:
    stage = Stage(ends=ends)

    told = run("tasks", "watch", stage.id, "--json", on=stage)
    shown = run("tasks", "watch", stage.id, on=stage)

    assert (told.code, shown.code) == (5, 5)
    assert told.the("error")["kind"] == "TaskEnded"
    assert ends in shown.err
    assert f"{stage.id}" in shown.err


@pytest.mark.parametrize(
    ("timeout", "seconds"), [("90", 90), ("90s", 90), ("15m", 900), ("2h", 7200), ("3d", 259_200), ("1.5h", 5400)]
)
def test_a_deadline_is_told_in_seconds_minutes_hours_or_days(run: Shell, timeout: str, seconds: int) -> None:
    stage = Stage({"opens": 10 * DAY})

    told = run("tasks", "watch", stage.id, "--timeout", timeout, "--json", on=stage)

    assert told.code == 6
    assert (told.the("error")["kind"], told.of("task")[0]["status"]) == ("PollTimeout", "RECEIVED")
    assert seconds <= stage.sandbox.clock.now() <= seconds + 5


@pytest.mark.parametrize("value", ["0", "-5", "x", "5w", "", "m", "inf", "nan", "1h30m", "5 parsecs", "1e400"])
@pytest.mark.parametrize("command", ["tasks watch", "derivatives watch", "batch run"])
def test_a_duration_that_is_none_is_named(run: Shell, command: str, value: str, tmp_path: Path) -> None:
    stage = Stage()

    told = run(*spelled(command, stage.id, tmp_path), "--timeout", value, on=stage)

    assert (told.code, told.out, stage.requests) == (2, "", [])
    assert "--timeout" in told.err
    assert value in told.err
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("option", ["--every", "--rate"])
@pytest.mark.parametrize("value", ["0", "-1", "x", "nan", "inf", ""])
def test_a_pace_that_is_none_is_named(run: Shell, option: str, value: str, tmp_path: Path) -> None:
    stage = Stage()

    told = run(*spelled("batch run", stage.id, tmp_path), option, value, on=stage)

    assert (told.code, stage.requests) == (2, [])
    assert option in told.err
    assert list(tmp_path.iterdir()) == []


def test_looks_come_as_often_as_was_said(run: Shell) -> None:
    """Of detections that never come, so that nothing but the pace and the deadline counts."""
    counts = []
    for every in ("10", "100"):
        stage = Stage(**NEVER)
        told = run("derivatives", "watch", stage.id, "--every", every, "--timeout", "2000", on=stage)
        assert told.code == 6
        counts.append(sum(path.endswith("/derivatives") for _, path in stage.requests))

    assert 180 <= counts[0] <= 220
    assert 18 <= counts[1] <= 40


# --- products --------------------------------------------------------------------------------------------------------


def test_products_have_a_line_each_and_their_links_are_masked(run: Shell) -> None:
    stage = Stage({"product_types": ["GRD", "SLC-COG"]}, **AT_ONCE)

    told = run("products", "list", stage.id, on=stage)

    assert (told.code, told.err) == (0, "")
    assert [next(kind for kind in ("GRD", "SLC-COG") if kind in fields) for fields in told.fields] == ["GRD", "SLC-COG"]
    assert len({first for first, *_ in told.fields}) == 2


def test_products_as_json_are_the_documents_but_for_what_signs_their_links(run: Shell) -> None:
    stage = Stage({"product_types": ["GRD", "GRD-COG"]}, **AT_ONCE)

    told = run("products", "list", stage.id, "--json", on=stage)

    assert told.code == 0
    assert told.kinds == ["product", "product"]
    first = told.events[0]
    assert (first["task_id"], first["id"], first["type"]) == (stage.id, first["product"]["id"], "GRD")
    assert set(first["product"]["assets"]) == GRD
    assert all(asset["href"].startswith("http://127.0.0.1") for asset in first["product"]["assets"].values())


def test_products_can_be_those_of_one_type(run: Shell) -> None:
    stage = Stage({"product_types": ["GRD", "SLC-COG"]}, **AT_ONCE)

    told = run("products", "list", stage.id, "--type", "SLC-COG", "--json", on=stage)

    assert [event["type"] for event in told.of("product")] == ["SLC-COG"]
    assert stage.requests == [("GET", f"/api/tasking/v2/tasks/{stage.id}/products/SLC-COG")]


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "plain"])
@pytest.mark.parametrize("command", ["products list", "derivatives get", "derivatives watch", "batch run"])
def test_links_are_printed_whole_where_they_are_asked_for(
    run: Shell, command: str, as_json: bool, tmp_path: Path
) -> None:
    stage = Stage(TWO, age=DAY, **AT_ONCE)
    given = [*spelled(command, stage.id, tmp_path), *(["--json"] if as_json else [])]

    masked = run(*given, on=stage)
    (tmp_path / "batch.db").unlink(missing_ok=True)
    whole = run(*given, "--links", on=stage, links=True)

    assert (masked.code, whole.code) == (0, 0)
    links = re.findall(rf"{re.escape(stage.sandbox.link_url)}/[^\s\"]+", whole.out)
    assert len(links) >= 2
    assert all("Signature=" in link for link in links)


def test_a_link_that_is_printed_can_be_followed(run: Shell) -> None:
    """Byte for byte, as it was sent."""
    stage = Stage(age=DAY, **AT_ONCE)

    told = run("derivatives", "get", stage.id, "--links", "--json", on=stage, links=True)

    [asset] = told.the("derivative")["derivative"]["assets"]
    assert asset["href"] == stage.sandbox._links.url + asset["href"][len(stage.sandbox._links.url) :]
    assert re.fullmatch(r"\S+\?Expires=\d+&Signature=[^&\s]+&Key-Pair-Id=SANDBOX", asset["href"])


def test_products_that_are_not_there_yet_are_not_found(run: Shell) -> None:
    stage = Stage()

    told = run("products", "list", stage.id, on=stage)

    assert (told.code, told.out) == (4, "")
    assert stage.id in told.err


def test_a_download_tells_each_file_when_it_is_whole_and_where_all_are(run: Shell, tmp_path: Path) -> None:
    stage, began = Stage(**AT_ONCE), time.monotonic()

    told = run("products", "download", stage.id, "--to", tmp_path / "new" / "files", "--json", on=stage)

    assert told.code == 0
    assert len(told.of("progress")) <= 1 + time.monotonic() - began
    assert set(told.kinds) <= {"progress", "file", "done"}
    assert told.kinds[-1] == "done"
    files = {Path(event["path"]): event["size"] for event in told.of("file")}
    assert len(files) == 5
    assert all(
        path.stat().st_size == size and path.parent == tmp_path / "new" / "files" for path, size in files.items()
    )
    assert {event["asset"].rpartition("/")[2] for event in told.of("file")} == GRD
    assert Path(told.the("done")["folder"]) == tmp_path / "new" / "files"


def test_a_download_has_a_plain_line_for_each_file(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE)

    told = run("products", "download", stage.id, "--to", tmp_path, on=stage)

    assert told.code == 0
    shown = told.out + told.err
    assert all(path.name in shown for path in tmp_path.iterdir() if not path.name.startswith("."))
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_only_the_types_and_assets_that_are_named_are_downloaded(run: Shell, tmp_path: Path) -> None:
    stage = Stage({"product_types": ["GRD", "SLC-COG"]}, **AT_ONCE)
    to = ["--to", tmp_path, "--json"]

    assert run("products", "download", stage.id, "--type", "SLC-COG", "--asset", "slc-json", *to, on=stage).code == 0
    assert stage.fetched == ["slc-json"]
    both = ["--asset", "grd-xml", "--asset", "quicklook-png"]
    told = run("products", "download", stage.id, "--type", "GRD", *both, *to, on=stage)

    assert set(stage.fetched) == {"grd-xml", "quicklook-png"}
    assert len(told.of("file")) == 2


def test_an_asset_that_no_product_has_is_an_error_that_names_it(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE)

    told = run("products", "download", stage.id, "--asset", "grd-tiff", "--to", tmp_path, on=stage)

    assert told.code in {1, 2, 4}
    assert "grd-tiff" in told.err


def test_what_is_there_already_is_not_fetched_again(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE)
    given = ["products", "download", stage.id, "--to", tmp_path, "--json"]
    run(*given, on=stage)

    told = run(*given, on=stage)

    assert told.code == 0
    assert [event["known"] for event in told.of("file")] == [True] * 5
    assert stage.fetched == []


@pytest.mark.parametrize("command", ["products", "derivatives"])
def test_a_file_in_the_way_is_replaced_only_where_that_is_asked_for(run: Shell, command: str, tmp_path: Path) -> None:
    stage = Stage(age=DAY, **AT_ONCE)
    asset = ["--asset", "grd-xml"] if command == "products" else []
    given = [command, "download", stage.id, *asset, "--to", tmp_path, "--json"]
    [file] = [Path(event["path"]) for event in run(*given, on=stage).of("file")]
    whole = file.read_bytes()
    (tmp_path / ".iceye-async.json").unlink()
    file.write_text("mine")

    refused = run(*given, on=stage)
    kept = file.read_text()
    replaced = run(*given, "--overwrite", on=stage)

    assert (refused.code, kept) == (1, "mine")
    assert "--overwrite" in refused.the("error")["message"]
    assert (replaced.code, file.read_bytes()) == (0, whole)


@pytest.mark.parametrize("command", ["products", "derivatives"])
def test_a_folder_that_is_a_file_is_an_error_that_names_it(run: Shell, command: str, tmp_path: Path) -> None:
    stage = Stage(age=DAY, **AT_ONCE)
    (tmp_path / "taken").write_text("mine")

    told = run(command, "download", stage.id, "--to", tmp_path / "taken", on=stage)

    assert told.code in {1, 2}
    assert "taken" in told.err
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_download_of_which_a_part_fails_ends_with_7(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE, link_faults=[LinkFault(path="grd-xml", status=500, times=float("inf"))])

    told = run("products", "download", stage.id, "--to", tmp_path, "--json", on=stage)

    assert told.code == 7
    assert (len(told.of("file")), len(told.of("failed_file")), len(told.of("done"))) == (4, 1, 0)
    assert told.the("failed_file")["asset"].endswith("grd-xml")
    assert told.the("error")["kind"] == "DownloadError"


def test_a_download_that_fails_as_a_whole_ends_with_1(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE, link_faults=[LinkFault(status=500, times=float("inf"))])

    told = run("products", "download", stage.id, "--to", tmp_path, "--json", on=stage)
    one = run("products", "download", stage.id, "--asset", "grd-xml", "--to", tmp_path, "--json", on=stage)

    assert (told.code, one.code) == (1, 1)
    assert (len(told.of("file")), len(told.of("failed_file"))) == (0, 5)
    assert len(one.of("error")) == 1


def test_what_breaks_off_goes_on_and_is_told(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE, link_faults=[LinkFault(path="grd-tif", reset=1000)])

    told = run("products", "download", stage.id, "--to", tmp_path, "--json", on=stage)

    assert told.code == 0
    assert len(told.of("file")) == 5
    assert [event["asset"].rpartition("/")[2] for event in told.of("interrupted_file")] == ["grd-tif"]


# --- derivatives -----------------------------------------------------------------------------------------------------


def test_derivatives_have_a_line_each_that_says_whether_they_are_ready(run: Shell) -> None:
    stage = Stage(TWO, age=1000.0, **AT_ONCE)

    told = run("derivatives", "get", stage.id, on=stage)
    events = run("derivatives", "get", stage.id, "--json", on=stage).of("derivative")

    assert told.code == 0
    assert [next(kind for kind in TWO["derivative_product_types"] if kind in fields) for fields in told.fields] == TWO[
        "derivative_product_types"
    ]
    assert [(event["type"], event["ready"]) for event in events] == [("DC_VESSELS", True), ("DC_AIRCRAFT", False)]
    assert [fields[0] for fields in told.fields] == [event["id"] for event in events]
    assert events[0]["derivative"]["assets"][0]["type"] == "geojson"
    assert ids_of(events) == {stage.id}


def test_derivatives_of_which_there_are_none_are_not_found(run: Shell) -> None:
    stage = Stage(**AT_ONCE)

    told = run("derivatives", "get", stage.id, "--json", on=stage)

    assert told.code == 4
    assert (told.kinds, told.the("error")["status"]) == (["error"], 404)


def test_watched_derivatives_are_told_at_each_answer(run: Shell) -> None:
    stage = Stage(TWO, **AT_ONCE)

    told = run("derivatives", "watch", stage.id, "--json", on=stage)

    assert (told.code, set(told.kinds)) == (0, {"update"})
    *on_the_way, last = told.events
    assert len(on_the_way) >= 2
    assert {tuple(event["ready"]) for event in on_the_way} == {("DC_VESSELS",)}
    assert {tuple(event["missing"]) for event in on_the_way} == {("DC_AIRCRAFT",)}
    assert not any(event["complete"] for event in on_the_way)
    assert (sorted(last["ready"]), last["missing"], last["complete"]) == (["DC_AIRCRAFT", "DC_VESSELS"], [], True)
    fresh = [entry for event in told.events for entry in event["fresh"]]
    assert [entry["type"] for entry in fresh] == TWO["derivative_product_types"]
    assert all({"id", "type", "derivative"} <= set(entry) and entry["derivative"]["assets"] for entry in fresh)


def test_watched_derivatives_have_plain_lines_where_there_is_no_terminal(run: Shell) -> None:
    stage = Stage(TWO, **AT_ONCE)

    told = run("derivatives", "watch", stage.id, on=stage)

    assert told.code == 0
    assert "\x1b" not in told.out
    assert "\r" not in told.out
    places = [told.out.find(f"{kind} ready") for kind in TWO["derivative_product_types"]]
    assert -1 not in places
    assert places == sorted(places)
    assert len(told.lines) < 12, "a line for what is new, and not for each look"


def test_a_watch_of_named_types_ends_with_them(run: Shell) -> None:
    stage = Stage(TWO, **AT_ONCE)

    told = run("derivatives", "watch", stage.id, "--type", "DC_VESSELS", "--json", on=stage)

    assert told.code == 0
    assert (told.events[-1]["ready"], told.events[-1]["complete"]) == (["DC_VESSELS"], True)
    assert stage.sandbox.clock.now() < 1000


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "plain"])
def test_each_derivative_is_downloaded_when_it_arrives(run: Shell, as_json: bool, tmp_path: Path) -> None:
    stage = Stage(TWO, **AT_ONCE)
    found: list[list[str]] = []
    stage.told = lambda method, path: found.append(
        [file.name for file in tmp_path.glob("*.geojson")] if path.endswith("/derivatives") else []
    )

    told = run(
        "derivatives", "watch", stage.id, "--to", tmp_path, *(["--json"] if as_json else []), "--every", "60", on=stage
    )

    assert told.code == 0
    assert max(map(len, found)) == 1, "the first was there before the second was"
    files = list(tmp_path.glob("*.geojson"))
    assert len(files) == 2
    if as_json:
        assert {Path(event["path"]) for event in told.of("file")} == set(files)
        assert told.kinds.index("file") < len(told.kinds) - 3
        assert told.kinds[-1] == "done"
    else:
        assert all(file.name in told.out for file in files)


def test_a_deadline_keeps_what_has_arrived(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, **AT_ONCE | {"derivatives": {"DC_VESSELS": 900}})
    given = ["derivatives", "watch", stage.id, "--to", tmp_path, "--timeout", "2h", "--every", "300"]

    told = run(*given, "--json", on=stage)
    shown = run(*given, on=stage)

    assert (told.code, shown.code) == (6, 6)
    assert ["DC_VESSELS"] in [event["ready"] for event in told.of("update")]
    assert len(told.of("file")) == len(list(tmp_path.glob("*.geojson"))) == 1
    assert (told.kinds[-1], told.the("error")["kind"]) == ("error", "PollTimeout")
    assert "DC_AIRCRAFT" in shown.out + shown.err


@pytest.mark.parametrize(
    ("changes", "given", "kind"),
    [
        ({"ends": "REJECTED"}, [], "TaskEnded"),
        ({"ends": "FAILED"}, [], "TaskEnded"),
        ({**AT_ONCE, "echo": True}, ["--type", "DC_VEHICLES"], "DerivativesNotRequested"),
    ],
    ids=["rejected", "failed", "not requested"],
)
def test_what_can_never_come_ends_the_watch_with_5(
    run: Shell, changes: dict[str, Any], given: list[str], kind: str
) -> None:
    stage = Stage(**changes)

    told = run("derivatives", "watch", stage.id, *given, "--json", on=stage)

    assert (told.code, told.the("error")["kind"], told.the("error")["transient"]) == (5, kind, False)


def test_a_derivative_that_cannot_be_downloaded_does_not_keep_the_others(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, **AT_ONCE, link_faults=[LinkFault(path="vessel", status=500, times=float("inf"))])

    told = run("derivatives", "watch", stage.id, "--to", tmp_path, "--json", on=stage)

    assert told.code == 7
    assert [file.name.rpartition("-")[2] for file in tmp_path.glob("*.geojson")] != []
    assert (len(told.of("file")), len(told.of("failed_file"))) == (1, 1)
    assert told.of("update")[-1]["complete"] is True


def test_derivatives_that_there_are_are_downloaded(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, age=1000.0, **AT_ONCE)

    told = run("derivatives", "download", stage.id, "--to", tmp_path, "--json", on=stage)

    assert (told.code, told.kinds[-1]) == (0, "done")
    assert [Path(event["path"]) for event in told.of("file")] == list(tmp_path.glob("*.geojson"))
    assert len(told.of("file")) == 1


def test_derivatives_of_named_types_are_downloaded(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, age=DAY, **AT_ONCE)

    told = run("derivatives", "download", stage.id, "--type", "DC_AIRCRAFT", "--to", tmp_path, on=stage)

    assert told.code == 0
    assert stage.fetched == ["aircraft-detections.geojson"]


def test_a_type_that_is_misspelt_is_not_passed_over(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, age=DAY, **AT_ONCE)

    told = run("derivatives", "download", stage.id, "--type", "DC_VESSEL", "--to", tmp_path, on=stage)

    assert told.code in {4, 5}
    assert len(told.complaints) == 1
    assert stage.fetched == []


@pytest.mark.parametrize("command", ["products list", "products download", "derivatives download"])
def test_of_several_types_those_that_are_there_come_and_the_others_are_not_passed_over(
    run: Shell, command: str, tmp_path: Path
) -> None:
    stage = Stage({"product_types": ["GRD", "SICD"], **TWO}, age=1000.0, **AT_ONCE | {"done": DAY})
    kinds = TWO["derivative_product_types"] if command.startswith("derivatives") else ["GRD", "SICD"]

    told = run(*spelled(command, stage.id, tmp_path), *(f"--type={kind}" for kind in kinds), "--json", on=stage)

    assert told.code == 7
    assert len(told.of("file")) + len(told.of("product")) == {"products download": 5}.get(command, 1)


# --- exit codes ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", [name for name in COMMANDS if "ID" in COMMANDS[name] and "batch" not in name])
def test_a_task_that_is_not_there_ends_with_4(run: Shell, command: str, tmp_path: Path) -> None:
    stage = Stage(**AT_ONCE)

    told = run(*spelled(command, NOBODY, tmp_path), on=stage)
    as_json = run(*spelled(command, NOBODY, tmp_path), "--json", on=stage)

    assert told.code == 4
    assert [line.startswith(f"iceye-async {command}: ") for line in told.complaints] == [True]
    assert NOBODY in told.err
    assert (as_json.code, as_json.kinds, as_json.the("error")["status"]) == (4, ["error"], 404)


@pytest.mark.parametrize("status", [400, 403, 404, 418, 429, 500, 503])
def test_an_error_of_the_service_has_its_exit_code(run: Shell, status: int) -> None:
    stage = Stage(faults=[Fault(call="getTask", status=status, details="so it is", times=float("inf"))])

    told = run("tasks", "get", stage.id, "--json", on=stage)
    shown = run("tasks", "get", stage.id, on=stage)

    code = {403: 3, 404: 4}.get(status, 1)
    assert (told.code, shown.code) == (code, code)
    error = told.the("error")
    assert (error["status"], error["transient"]) == (status, status in {429, 500, 503})
    assert len(shown.complaints) == 1
    assert shown.err.startswith("iceye-async tasks get: ")
    assert "so it is" in shown.err


@pytest.mark.parametrize(
    "fault",
    [Fault(call="getTask", reset=0, times=float("inf")), Fault(call="getTask", body="<html>", times=float("inf"))],
    ids=["reset", "no JSON"],
)
def test_an_answer_that_cannot_be_had_or_read_ends_with_1(run: Shell, fault: Fault) -> None:
    stage = Stage(faults=[fault])

    told = run("tasks", "get", stage.id, "--json", on=stage)

    assert told.code == 1
    assert told.the("error")["kind"] in {"TransportError", "DecodeError"}


def test_what_heals_is_not_told(run: Shell) -> None:
    stage = Stage(faults=[Fault(call="getTask", status=503), Fault(call="getTask", status=429, retry_after=3)])

    told = run("tasks", "get", stage.id, on=stage)

    assert (told.code, told.err) == (0, "")


def test_debug_logs_each_request_on_stderr(run: Shell) -> None:
    stage = Stage(**AT_ONCE)

    told = run("tasks", "get", stage.id, "--json", "--debug", on=stage)
    quiet = run("tasks", "get", stage.id, "--json", on=stage)

    assert (told.code, told.kinds) == (0, ["task"])
    assert f"/tasks/{stage.id}" in told.err
    assert quiet.err == ""


def test_no_network_ends_with_1(run: Shell, monkeypatch: pytest.MonkeyPatch, closed_port: str) -> None:
    monkeypatch.setattr("iceye_async.clock.AsyncioClock.sleep", lambda self, seconds: asyncio.sleep(0))
    monkeypatch.setenv("ICEYE_BASE_URL", closed_port)
    monkeypatch.setenv("ICEYE_ACCESS_TOKEN", "t0ken-of-mine")
    run.secrets.append("t0ken-of-mine")

    told = run("tasks", "list", "--json")

    assert (told.code, told.the("error")["kind"], told.the("error")["transient"]) == (1, "TransportError", True)


# --- batch: where ids come from --------------------------------------------------------------------------------------

DONE_SOON = {**AT_ONCE, "derivatives": {"DC_VESSELS": 0.0, "DC_AIRCRAFT": 0.0}}


def finished(told: Ran) -> set[str]:
    return ids_of(told.of("finished"))


def test_ids_come_from_arguments_a_file_and_standard_input(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {}, {}, {}, **DONE_SOON)
    journal = ["--journal", tmp_path / "n.db", "--json"]
    (tmp_path / "ids.txt").write_text(f"# mine\n{stage.ids[2]}\n")

    told = run(
        "batch",
        "run",
        *journal,
        stage.ids[0],
        "-",
        "--ids",
        tmp_path / "ids.txt",
        on=stage,
        stdin=f"{stage.ids[1]}\n".encode(),
    )

    assert told.code == 0
    assert finished(told) == set(stage.ids[:3])


def test_the_list_of_tasks_can_be_the_ids_of_a_batch(run: Shell, tmp_path: Path) -> None:
    stage = Stage({"reference": "one"}, {"reference": "# two"}, **DONE_SOON)
    listed = run("tasks", "list", on=stage)

    for number, where in enumerate((["-"], ["--ids", "-"])):
        told = run(
            "batch",
            "run",
            "--journal",
            tmp_path / f"{number}.db",
            "--json",
            *where,
            on=stage,
            stdin=listed.out.encode(),
        )
        assert (told.code, finished(told)) == (0, set(stage.ids))


def test_an_id_that_comes_twice_counts_once(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**DONE_SOON)

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--json", stage.id, stage.id, on=stage)

    assert told.the("report")["completed"] == 1
    assert len(told.of("finished")) == 1


@pytest.mark.parametrize("given", [[], ["--ids", "empty.txt"], ["-"]], ids=["nothing", "empty file", "empty input"])
def test_a_batch_of_no_ids_is_a_usage_error(
    run: Shell, given: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty.txt").write_text("# none\n\n")
    stage = Stage()

    told = run("batch", "run", "--journal", "n.db", *given, on=stage)

    assert (told.code, told.out, stage.requests) == (2, "", [])
    assert not (tmp_path / "n.db").exists()


# --- batch: what it tells --------------------------------------------------------------------------------------------


def test_a_batch_tells_what_arrives_of_each_task_and_a_report_at_the_end(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, {}, **AT_ONCE)
    journal = tmp_path / "n.db"

    told = run("batch", "run", "--journal", journal, "--json", "--to", tmp_path / "files", *stage.ids, on=stage)

    assert (told.code, told.kinds[-1]) == (0, "report")
    first = [event for event in told.events if event.get("task_id") == stage.id and event["event"] != "progress"]
    assert [event["event"] for event in first] == ["updated", "downloaded", "updated", "downloaded", "finished"]
    assert [entry["type"] for event in first if "fresh" in event for entry in event["fresh"]] == TWO[
        "derivative_product_types"
    ]
    assert (first[0]["ready"], first[0]["missing"]) == (["DC_VESSELS"], ["DC_AIRCRAFT"])
    assert sorted(first[-1]["types"]) == ["DC_AIRCRAFT", "DC_VESSELS"]
    assert len(first[-1]["derivatives"]) == 2
    there = set((tmp_path / "files").glob("*/*.geojson"))
    assert len(there) == 3
    assert {path for event in told.of("downloaded") for path in paths(event["files"])} == there
    assert {path for event in told.of("finished") for path in paths(event["files"])} == there
    assert not any(event["again"] for event in told.events if "again" in event)
    report = told.the("report")
    assert (report["completed"], report["failed"], report["waiting"]) == (2, 0, 0)
    assert report["requests"] > 2
    assert Path(report["journal"]) == journal


def test_a_batch_has_plain_lines_where_there_is_no_terminal(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {"reference": "gone-1"}, **DONE_SOON, courses={"gone-*": {"ends": "FAILED"}})

    told = run("batch", "run", "--journal", tmp_path / "n.db", *stage.ids, on=stage)

    assert told.code == 7
    shown = told.out + told.err
    assert "\x1b" not in shown
    assert all(name in shown for name in stage.ids)
    assert "FAILED" in shown


@pytest.mark.parametrize("as_json", [True, False], ids=["json", "plain"])
def test_a_task_that_fails_is_told_and_the_others_go_on(run: Shell, as_json: bool, tmp_path: Path) -> None:
    stage = Stage({}, {"reference": "gone-1"}, **DONE_SOON, courses={"gone-*": {"ends": "REJECTED"}})

    told = run(
        "batch", "run", "--journal", tmp_path / "n.db", *(["--json"] if as_json else []), *stage.ids, NOBODY, on=stage
    )

    assert told.code == 7
    if as_json:
        errors = {event["task_id"]: event["error"] for event in told.of("failed")}
        assert {name: error["kind"] for name, error in errors.items()} == {
            stage.ids[1]: "TaskEnded",
            NOBODY: "TaskNotFound",
        }
        assert finished(told) == {stage.id}
        report = told.the("report")
        assert (report["completed"], report["failed"], report["waiting"]) == (1, 2, 0)
        assert told.kinds.index("report") > told.kinds.index("failed")


def test_a_batch_that_fails_as_a_whole_has_another_exit_code_than_one_that_fails_in_part(
    run: Shell, tmp_path: Path
) -> None:
    stage = Stage({}, {}, ends="REJECTED")

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--json", *stage.ids, on=stage)

    assert told.code not in {0, 7, 70}
    assert told.the("report")["failed"] == 2


def test_a_batch_of_named_types_wants_no_others(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, **AT_ONCE)

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--type", "DC_VESSELS", "--json", stage.id, on=stage)

    assert (told.code, told.the("finished")["types"]) == (0, ["DC_VESSELS"])


def test_the_deadline_of_a_batch_keeps_what_has_arrived(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, TWO, **AT_ONCE | {"derivatives": {"DC_VESSELS": 900}})
    given = ["--timeout", "2h", "--every", "60", "--to", tmp_path / "files"]

    told = run("batch", "run", "--journal", tmp_path / "n.db", *given, "--json", *stage.ids, on=stage)

    assert told.code in {6, 7}
    assert finished(told) == {stage.id}
    assert len(list((tmp_path / "files").glob("*/*.geojson"))) == 2
    assert told.the("failed")["error"]["kind"] == "PollTimeout"


def test_a_report_is_written_where_it_is_asked_for(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {"reference": "gone-1"}, **DONE_SOON, courses={"gone-*": {"ends": "REJECTED"}})

    run("batch", "run", "--journal", tmp_path / "n.db", "--report", tmp_path / "r.csv", *stage.ids, on=stage)
    run("batch", "resume", tmp_path / "n.db", "--report", tmp_path / "r.json", on=stage)

    with (tmp_path / "r.csv").open(newline="") as file:
        rows = {row["task_id"]: row["outcome"] for row in csv.DictReader(file)}
    saved = {row["task_id"]: row["outcome"] for row in json.loads((tmp_path / "r.json").read_text())["tasks"]}
    assert rows == saved == dict(zip(stage.ids, ("completed", "failed"), strict=True))


def test_a_report_that_can_never_be_written_is_refused_before_anything_is_asked(run: Shell, tmp_path: Path) -> None:
    stage = Stage(**DONE_SOON)

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--report", tmp_path / "r.txt", stage.id, on=stage)

    assert (told.code, stage.requests) == (2, [])
    assert "r.txt" in told.err


@pytest.mark.parametrize("command", ["status", "resume"])
@pytest.mark.parametrize("found", ["nothing", "text", "folder"])
def test_what_is_no_journal_is_named_and_stays_as_it_is(run: Shell, command: str, found: str, tmp_path: Path) -> None:
    path = tmp_path / "n.db"
    if found == "text":
        path.write_text("mine\n" * 1000)
    elif found == "folder":
        path.mkdir()

    told = run("batch", command, path, on=Stage())

    assert told.code in {1, 2, 4}
    assert str(path) in told.err
    assert "Traceback" not in told.err
    assert path.exists() is (found != "nothing")
    assert found != "text" or path.read_text() == "mine\n" * 1000


def test_a_journal_of_another_batch_is_not_written_to(run: Shell, tmp_path: Path) -> None:
    stage = Stage(TWO, **AT_ONCE)
    journal = tmp_path / "n.db"
    assert run("batch", "run", "--journal", journal, "--type", "DC_VESSELS", stage.id, on=stage).code == 0

    told = run("batch", "run", "--journal", journal, "--type", "DC_AIRCRAFT", stage.id, on=stage)

    assert told.code in {1, 2}
    assert "n.db" in told.err


# --- batch: stopped, and gone on with --------------------------------------------------------------------------------


def interrupted_after(count: int, ending: str) -> Any:
    """Hears requests, and is Ctrl-C at the so-manieth of those to a path that ends so."""
    heard: list[str] = []

    def told(method: str, path: str) -> None:
        heard.extend([path] if path.endswith(ending) else [])
        if len(heard) == count:
            heard.append("")
            interrupt()

    return told


def test_an_interrupted_batch_is_gone_on_with_by_what_it_says(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {}, TWO, **AT_ONCE)
    journal = tmp_path / "my night.db"
    stage.told = interrupted_after(1, "aircraft-detections.geojson")
    given = ["--to", tmp_path / "files", "--report", tmp_path / "my report.csv"]

    begun = run("batch", "run", "--journal", journal, *given, "--json", *stage.ids, on=stage)
    status = run("batch", "status", journal, "--json")

    assert begun.code == 130
    stopped = begun.the("stopped")
    assert shlex.split(stopped["go_on"])[1:] == goes_on(begun)
    assert goes_on(begun)[:3] == ["batch", "resume", str(journal)]
    report = status.the("report")
    assert (status.code, report["completed"], report["waiting"], report["running"]) == (0, 2, 1, False)

    stage.told = lambda method, path: None
    told = run(*goes_on(begun), "--json", on=stage)

    assert (told.code, told.the("report")["completed"]) == (0, 3)
    assert len(list((tmp_path / "files").glob("*/*.geojson"))) == 4
    assert (tmp_path / "my report.csv").exists()
    assert [finished(begun), finished(told)] == [set(stage.ids[:2]), {stage.ids[2]}]


def test_a_list_that_never_ends_is_no_reason_to_wait_for_it(run: Shell, tmp_path: Path) -> None:
    class Endless(io.BytesIO):
        def read(self, *_: object) -> bytes:
            interrupt()
            return super().read()

    stage = Stage()

    told = run("batch", "run", "--journal", tmp_path / "n.db", "--ids", "-", on=stage, stdin=Endless(b"one\n"))

    assert (told.code, told.out, stage.requests) == (130, "", [])
    assert "Traceback" not in told.err
    assert list(tmp_path.iterdir()) == []


def test_a_batch_that_is_over_has_nothing_to_go_on_with(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {"reference": "gone-1"}, **DONE_SOON, courses={"gone-*": {"ends": "REJECTED"}})
    run("batch", "run", "--journal", tmp_path / "n.db", *stage.ids, on=stage)

    told = run("batch", "resume", tmp_path / "n.db", "--json", on=stage)

    assert told.code == 7, "what it has become of its tasks counts, and not what was left to do"
    report = told.the("report")
    assert (report["completed"], report["failed"], report["waiting"]) == (1, 1, 0)
    assert [path for _, path in stage.requests if "derivatives" in path] == []


def test_the_status_of_a_batch_has_a_line_for_each_task(run: Shell, tmp_path: Path) -> None:
    stage = Stage({}, {"reference": "gone-1"}, **DONE_SOON, courses={"gone-*": {"ends": "REJECTED"}})
    run("batch", "run", "--journal", tmp_path / "n.db", "--to", tmp_path / "files", *stage.ids, on=stage)

    told = run("batch", "status", tmp_path / "n.db", "--json")
    shown = run("batch", "status", tmp_path / "n.db")

    assert (told.code, shown.code) == (0, 0)
    assert (told.kinds, told.kinds[-1]) == (["outcome", "outcome", "report"], "report")
    rows = {event["task_id"]: event for event in told.of("outcome")}
    assert rows[stage.id]["outcome"] == "completed"
    assert (rows[stage.ids[1]]["outcome"], rows[stage.ids[1]]["error"]) == ("failed", "TaskEnded")
    assert [Path(path).exists() for path in rows[stage.id]["files"]] == [True]
    assert all(name in shown.out for name in stage.ids)


def test_the_status_of_a_batch_can_be_cut_into_fields_like_any_list(run: Shell, tmp_path: Path) -> None:
    stage = Stage(*({} for _ in range(60)), **DONE_SOON)
    run("batch", "run", "--journal", tmp_path / "n.db", "--rate", "1000", *stage.ids, on=stage)

    told = run("batch", "status", tmp_path / "n.db")

    assert {fields[0] for fields in told.fields} >= set(stage.ids)


def test_a_killed_batch_goes_on_and_meanwhile_its_status_can_be_seen(
    run: Shell, service: Service, tmp_path: Path
) -> None:
    ids = service.create({}, {"reference": "never-1"})
    journal = tmp_path / "n.db"
    given = ["batch", "run", "--journal", journal, "--json", "--every", "0.05", "--to", tmp_path / "files", *ids]
    with start(service, *given) as process:
        read_until(process, '"finished"')
        during = run("batch", "status", journal, "--json")
        rival = run("batch", "resume", journal, on=Stage())
        process.kill()
        process.communicate()
    after = run("batch", "status", journal, "--json")

    resumed = ran(service, "batch", "resume", journal, "--json", "--every", "0.05", "--timeout", "0.5")

    assert during.the("report")["running"] is True
    assert rival.code == 1
    assert str(process.pid) in rival.err
    assert after.the("report")["running"] is False
    assert resumed.code in {6, 7}
    assert resumed.the("report")["completed"] == 1
    assert resumed.the("failed")["error"]["kind"] == "PollTimeout"
    assert len(list((tmp_path / "files").glob("*/*.geojson"))) == 1


def test_a_batch_that_is_told_to_end_says_how_to_go_on(service: Service, tmp_path: Path) -> None:
    ids = service.create({"reference": "never-1"}, {})
    with start(service, "batch", "run", "--journal", tmp_path / "n.db", "--json", "--every", "0.05", *ids) as process:
        read = read_until(process, '"finished"')
        process.send_signal(signal.SIGTERM)
        told = ended(process, service, read, within=5.0)

    assert told.code == 143
    assert told.the("stopped")["signal"] == "SIGTERM"
    assert goes_on(told)[:3] == ["batch", "resume", str(tmp_path / "n.db")]


# --- watching, stopped -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["tasks watch", "derivatives watch", "products download", "derivatives download"])
def test_what_is_interrupted_goes_on_by_what_it_says(run: Shell, command: str, tmp_path: Path) -> None:
    stage = Stage(TWO, **({} if command == "tasks watch" else AT_ONCE), age=0 if "watch" in command else DAY)
    stage.told = interrupted_after(*((2, stage.id) if command == "tasks watch" else (1, "geojson")))
    if command == "products download":
        stage.told = interrupted_after(2, "")
    given = spelled(command, stage.id, tmp_path / "my files")
    given += ["--to", str(tmp_path / "my files")] if command == "derivatives watch" else []

    stopped = run(*given, on=stage)
    as_json = run(*given, "--json", on=stage)
    stage.told = lambda method, path: None
    told = run(*goes_on(stopped), on=stage)

    assert stopped.code == 130
    assert "Traceback" not in stopped.err
    assert told.code == 0
    assert as_json.code in {0, 130}
    if command != "tasks watch":
        assert list((tmp_path / "my files").rglob("*.part")) == []
        assert [path for path in (tmp_path / "my files").rglob("*") if path.suffix in {".geojson", ".png"}] != []


# --- doctor ----------------------------------------------------------------------------------------------------------


def test_the_doctor_finds_nothing_wrong_with_a_sandbox(service: Service, tmp_path: Path) -> None:
    told = ran(service, "doctor", "--json", cwd=tmp_path)

    assert told.code == 0
    assert set(told.kinds) == {"check"}
    assert {event["state"] for event in told.events} <= {"ok", "warning", "skipped"}
    assert len({event["name"] for event in told.events}) == len(told.events) >= 4
    assert list(tmp_path.iterdir()) == []


def test_the_doctor_says_what_to_do_about_credentials_that_are_not_there(run: Shell) -> None:
    told = run("doctor")
    as_json = run("doctor", "--json")

    assert (told.code, as_json.code) == (3, 3)
    assert "ICEYE_CLIENT_ID" in told.out + told.err
    [failed] = [event for event in as_json.of("check") if event["state"] == "failed"]
    assert "ICEYE_" in failed["detail"] + str(failed["next"])
    assert any("sqlite" in json.dumps(event).lower() for event in as_json.of("check"))
