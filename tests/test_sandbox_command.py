"""`iceye-async sandbox`: the sandbox for other programs."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import IO

import pytest

from iceye_async import Client, PollPolicy
from iceye_async.cli import main
from iceye_async.sandbox import SCENARIOS

Start = Callable[..., subprocess.Popen[str]]


@pytest.fixture
def start() -> Iterator[Start]:
    """Starts the command; what still runs after the test is ended."""
    running: list[subprocess.Popen[str]] = []

    def run(*arguments: str) -> subprocess.Popen[str]:
        command = [sys.executable, "-W", "error", "-m", "iceye_async", "sandbox", *arguments]
        running.append(subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True))
        return running[-1]

    yield run
    for process in running:
        process.kill()
        process.communicate()


def variables(output: IO[str] | None) -> dict[str, str]:
    """What a shell would set, of the lines up to the contract."""
    assert output is not None
    found = {}
    while (line := output.readline()).startswith("export "):
        name, _, value = line.removeprefix("export ").rstrip("\n").partition("=")
        found[name] = value
    assert line.startswith("# contract ")
    return found


async def test_a_program_finds_it_by_the_variables_and_lives_in_real_time(
    start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    process = start("--speed", "20000")
    for name, value in variables(process.stdout).items():
        monkeypatch.setenv(name, value)
    now = datetime.now(UTC)

    async with Client.from_env() as client:
        [contract] = await client.contracts.list()
        task = await client.tasks.create(
            contract_id=contract.id,
            imaging_mode="SPOTLIGHT",
            point_of_interest=(51.95, 4.05),
            acquisition_window=(now, now + timedelta(days=1)),
            product_types=["GRD"],
            derivative_product_types=["DC_VESSELS"],
        )
        derivatives = await client.await_derivatives(task.id, poll=PollPolicy(first=0.05, ceiling=0.1))

    assert derivatives.ready == {"DC_VESSELS"}
    assert abs(task.created_at - now) < timedelta(minutes=1)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["Ctrl-C", "SIGTERM"])
def test_it_ends_well_when_told_to(start: Start, number: signal.Signals) -> None:
    process = start()
    address = variables(process.stdout)["ICEYE_BASE_URL"]

    process.send_signal(number)
    output, errors = process.communicate(timeout=20)

    assert (process.returncode, output) == (0, "")
    assert errors == "serving until Ctrl-C; set these variables where your program runs\n"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))


def test_a_seed_gives_the_same_credentials(start: Start) -> None:
    told = []
    for _ in range(2):
        process = start("--seed", "7")
        found = variables(process.stdout)
        told.append(found["ICEYE_CLIENT_SECRET"])

    assert told[0] == told[1]


def test_beyond_this_machine_it_is_served_with_a_warning(start: Start) -> None:
    process = start("--host", "0.0.0.0")  # noqa: S104 - that is what is warned of
    address = variables(process.stdout)["ICEYE_BASE_URL"]
    process.send_signal(signal.SIGTERM)
    _, errors = process.communicate(timeout=20)

    assert address.startswith("http://127.0.0.1:")
    assert errors.startswith(
        "iceye-async sandbox: the sandbox listens on 0.0.0.0: whoever reaches this machine can use it"
    )


def test_it_stops_when_nobody_reads_its_lines() -> None:
    read, write = os.pipe()
    os.close(read)
    command = [sys.executable, "-W", "error", "-m", "iceye_async", "sandbox"]
    run = subprocess.run(command, stdout=write, stderr=subprocess.PIPE, text=True, timeout=30)
    os.close(write)

    assert (run.returncode, run.stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        (["--scenario", "slow-boats"], 1, ["slow-boats", *SCENARIOS]),
        (["--scenario", "nowhere.toml"], 1, ["nowhere.toml", "No such file"]),
        (["--port", "70000"], 2, ["70000", "a port"]),
        (["--speed", "0"], 2, ["a number above 0"]),
        (["--speed", "x"], 2, ["a number above 0"]),
        (["--host", "192.0.2.1"], 1, ["192.0.2.1", "127.0.0.1"]),
    ],
    ids=["name", "file", "port", "speed", "no number", "host"],
)
def test_what_is_wrong_is_said_with_what_to_do(
    capsys: pytest.CaptureFixture[str], arguments: list[str], code: int, words: list[str]
) -> None:
    try:
        ended = main(["sandbox", *arguments])
    except SystemExit as usage:
        ended = usage.code  # type: ignore[assignment]

    output, errors = capsys.readouterr()
    assert (ended, output) == (code, "")
    assert all(word in errors for word in words)
    assert "Traceback" not in errors


def test_a_line_that_is_wrong_in_a_file_is_named(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('decided = 1\nends = "LOST"\n')

    assert main(["sandbox", "--scenario", str(path)]) == 1
    assert f"{path}, line 2: ends must be one of" in capsys.readouterr().err


def test_a_port_that_is_taken_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        assert main(["sandbox", "--port", str(port)]) == 1

    assert f"port {port} is in use; choose another, or 0" in capsys.readouterr().err
