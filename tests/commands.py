"""The command line as tests run it: in this process, with a sandbox in its event loop, or as a process of its own."""

import asyncio
import contextlib
import fcntl
import io
import json
import math
import os
import pty
import re
import select
import signal
import socket
import struct
import subprocess
import sys
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple, NoReturn, Self

import pytest

from iceye_async import Client, ClientCredentials
from iceye_async.cli import app, main, running
from iceye_async.sandbox import Sandbox, Scenario, rasters
from iceye_async.sandbox.chance import Chance
from tests.conftest import CANARY
from tests.desk import ordered

SEED = 7
CONNECT = running.connect
"""That of users, in place of which a stage comes."""
PROGRAM = [sys.executable, "-W", "error", "-m", "iceye_async"]
SIGNED = re.compile(rf"(Signature|Expires|Key-Pair-Id)=(?!\.\.\.)|{CANARY}")
"""In each link that can be followed, and nowhere else."""
SOON = 5.0
"""Real seconds within which a command that is told to stop has stopped."""
VARIABLES = ("ICEYE_BASE_URL", "ICEYE_TOKEN_URL", "ICEYE_CLIENT_ID", "ICEYE_CLIENT_SECRET", "ICEYE_ACCESS_TOKEN")

OF_DEVELOPERS = ("COLUMNS", "LINES", "NO_COLOR", "FORCE_COLOR", "PYTHONUNBUFFERED", "PYTHONIOENCODING", "PYTHONUTF8")
"""What somebody may have set, and a test must not depend on."""

_ERROR = {"kind", "message", "transient"}
_FACTS = {"status", "code", "reference", "request_id", "retry_after"}
_OF_BATCH = {"id", "task_id", "again"}
KEYS: Mapping[str, set[str]] = {
    "task": {"task_id", "status", "task"},
    "product": {"task_id", "id", "type", "product"},
    "derivative": {"task_id", "id", "type", "ready", "derivative"},
    "update": {"task_id", "ready", "missing", "fresh", "complete"},
    "progress": {"files", "finished", "received", "size", "rate"},
    "interrupted_file": {"asset", "received", "wait", "error"},
    "file": {"asset", "path", "size", "sha256", "known", "verified"},
    "failed_file": {"asset", "path", "error"},
    "updated": _OF_BATCH | {"ready", "missing", "fresh"},
    "downloaded": _OF_BATCH | {"files"},
    "finished": _OF_BATCH | {"types", "derivatives", "files"},
    "failed": _OF_BATCH | {"error"},
    "outcome": {
        *("task_id", "outcome", "types", "derivative_ids", "files", "began", "ended", "requests", "error", "message")
    },
    "report": {"journal", "completed", "failed", "waiting", "requests"},
    "check": {"name", "state", "detail", "next"},
    "done": {"files", "folder"},
    "error": _ERROR | {"exit_code"},
    "stopped": {"signal", "go_on"},
}
"""What each kind of JSON line holds besides "event"."""
MAY_HOLD: Mapping[str, set[str]] = {"error": _FACTS, "report": {"running"}}


COMMANDS: Mapping[str, tuple[str, ...]] = {
    "tasks list": (),
    "tasks get": ("ID",),
    "tasks create": ("--mode", "SPOTLIGHT", "--point", "60.2,24.9", "--window", "2026-01-02/2026-01-04", "--yes"),
    "tasks cancel": ("ID", "--yes"),
    "tasks watch": ("ID",),
    "products list": ("ID",),
    "products download": ("ID", "--to", "FOLDER"),
    "derivatives get": ("ID",),
    "derivatives watch": ("ID",),
    "derivatives download": ("ID", "--to", "FOLDER"),
    "batch run": ("ID", "--journal", "JOURNAL"),
    "batch resume": ("JOURNAL",),
    "batch status": ("JOURNAL",),
}
"""Each command that has to do with the service or a journal, and arguments with which it works."""


def spelled(command: str, task_id: str, folder: Path) -> list[str]:
    """Its words, for this task and this folder."""
    meant = {"ID": task_id, "FOLDER": str(folder / "files"), "JOURNAL": str(folder / "batch.db")}
    return [*command.split(), *(meant.get(word, word) for word in COMMANDS[command])]


class Ran(NamedTuple):
    """What a command left behind."""

    code: int
    out: str
    err: str

    @property
    def lines(self) -> list[str]:
        """Of its output. There is nothing after the last line end."""
        *lines, rest = self.out.split("\n")
        assert rest == ""
        return lines

    @property
    def complaints(self) -> list[str]:
        """The lines on stderr."""
        return [line for line in self.err.split("\n") if line]

    @property
    def events(self) -> list[dict[str, Any]]:
        """Its JSON lines: each is ASCII, and an object with what its kind has, and no more."""
        assert self.out.isascii()
        events = [json.loads(line, parse_constant=_no_constant) for line in self.lines]
        for event in events:
            kind, held = event["event"], set(event) - {"event"}
            assert KEYS[kind] <= held <= KEYS[kind] | MAY_HOLD.get(kind, set()), event
            for error in [event["error"]] if isinstance(event.get("error"), dict) else []:
                assert set(error) >= _ERROR, event
            assert event.get("exit_code", self.code) == self.code
        return events

    @property
    def kinds(self) -> list[str]:
        return [event["event"] for event in self.events]

    def of(self, kind: str) -> list[dict[str, Any]]:
        return [event for event in self.events if event["event"] == kind]

    def the(self, kind: str) -> dict[str, Any]:
        """The only event of this kind."""
        [event] = self.of(kind)
        return event

    @property
    def fields(self) -> list[list[str]]:
        """Of a list that is tab-separated."""
        return [line.split("\t") for line in self.lines]


def _no_constant(name: str) -> None:
    raise ValueError(f"{name} is no JSON")


def paths(files: Any) -> list[Path]:
    """Of the files of an event."""
    return [Path(file if isinstance(file, str) else file["path"]) for file in files]


def strange(text: str) -> set[str]:
    """What is in a text that could move a cursor, change a colour or turn the reading direction."""
    return {char for char in text if unicodedata.category(char) in {"Cc", "Cf", "Zl", "Zp"}} - {"\n", "\t"}


def check_secrets(ran: Ran, secrets: Iterable[str], *, links: bool) -> None:
    """No secret is in what a command said; no signature of a link either, but where links were asked for."""
    for text in (ran.out, ran.err):
        assert not [secret for secret in secrets if secret in text]
        assert links or SIGNED.search(text) is None


# --- in this process -------------------------------------------------------------------------------------------------


class _Told(list[Any]):
    """A list that tells what is appended to it."""

    def __init__(self, tell: Callable[[Any], None]) -> None:
        super().__init__()
        self._tell = tell

    def append(self, thing: Any) -> None:
        super().append(thing)
        self._tell(thing)


_HELD: list[socket.socket] = []


class Stage:
    """A sandbox in which time jumps, opened by each command in its own event loop, always at the same address.

    `orders` are what each task is ordered with, besides what all are; `at` is the age of the sandbox when it is. A
    command comes when the sandbox is `age` seconds old. All that the scenario leaves open is an option; `faults` and
    `link_faults` befall the command, and not the orders. `told` hears each request that the command makes: its method
    and path. Ids are the same each time.
    """

    def __init__(
        self,
        *orders: Mapping[str, Any],
        age: float = 0.0,
        faults: Sequence[Any] = (),
        link_faults: Sequence[Any] = (),
        told: Callable[[str, str], None] = lambda method, path: None,
        **scenario: Any,
    ) -> None:
        self.scenario = Scenario(**{"seed": SEED, **scenario})
        self.orders = orders or ({},)
        self.age, self.told = age, told
        self.faults, self.link_faults = list(faults), list(link_faults)
        self.sandbox = Sandbox(self.scenario)
        """That of the last command."""
        unopened = Sandbox(self.scenario)
        self.contract_id, self.client_secret = unopened.contract_id, unopened.client_secret
        self.contract_ids = unopened.contract_ids
        self.ids = [unopened.chance.id() for _ in self.orders]
        self._ports = [_kept(), _kept()]
        minted = Chance(SEED, "tokens")
        self.secrets = [self.client_secret, *(minted.secret(24) for _ in range(5))]

    @property
    def id(self) -> str:
        """Of the first task."""
        return self.ids[0]

    @property
    def requests(self) -> list[tuple[str, str]]:
        """What the last command asked of the API, but for tokens."""
        return [request for request in self.sandbox.requests if not request[1].endswith("/token")]

    @property
    def fetched(self) -> list[str]:
        """The last part of each link that the last command followed."""
        return [request.path.rpartition("/")[2] for request in self.sandbox.link_requests]

    def connect(self, *, rate: float | None = 10.0, on_event: Any = None) -> "_Opening":
        """What the command line connects with."""
        return _Opening(self, rate, on_event)

    async def open(self, stack: contextlib.AsyncExitStack) -> Sandbox:
        self.sandbox = sandbox = Sandbox(self.scenario, speed=math.inf, port=self._ports[0], link_port=self._ports[1])
        await stack.enter_async_context(sandbox)
        async with sandbox.client(rate_limit=None) as patron:
            for order, task_id in zip(self.orders, self.ids, strict=True):
                await sandbox.advance(max(0.0, order.get("at", 0.0) - sandbox.clock.now()))
                changes = {name: value for name, value in order.items() if name != "at"}
                assert (await ordered(sandbox, patron, **changes)).id == task_id
        await sandbox.advance(max(0.0, self.age - sandbox.clock.now()))
        sandbox.faults.extend(self.faults)
        sandbox.link_faults.extend(self.link_faults)
        sandbox.requests = _Told(lambda request: self.told(*request))
        sandbox._links.requests = _Told(lambda request: self.told(request.method, request.path))
        return sandbox


def _kept() -> int:
    """A port that nobody else is given until the test is over."""
    held = socket.socket()
    _HELD.append(held)
    held.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    held.bind(("127.0.0.1", 0))
    port: int = held.getsockname()[1]
    return port


def let_go() -> None:
    """The ports of the stages of a test that is over. Not when they are collected: that may be in another test."""
    while _HELD:
        _HELD.pop().close()


class _Opening:
    """A client that is not there before it is entered."""

    def __init__(self, stage: Stage, rate: float | None, on_event: Any) -> None:
        self._stage, self._rate, self._on_event = stage, rate, on_event
        self._life = contextlib.AsyncExitStack()

    async def __aenter__(self) -> Client:
        async with contextlib.AsyncExitStack() as stack:
            sandbox = await self._stage.open(stack)
            client = sandbox.client(rate_limit=self._rate, on_event=self._on_event)
            await stack.enter_async_context(client)
            self._life = stack.pop_all()
        return client

    async def __aexit__(self, *_: object) -> None:
        await self._life.aclose()


_DRAW, _DRAWINGS = rasters.scene, dict[str, Any]()


def _drawn(seed: str, targets: Iterable[Any]) -> Any:
    """A picture; those of tasks that have the same id each time are drawn once."""
    if seed not in _DRAWINGS:
        _DRAWINGS[seed] = _DRAW(seed, targets)
    return _DRAWINGS[seed]


class Shell:
    """Runs commands in this process."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
        self._monkeypatch, self._capsys = monkeypatch, capsys
        self.secrets: list[str] = []
        """What must never be printed, besides the secrets of a stage."""
        for name in (*VARIABLES, *OF_DEVELOPERS):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setattr("iceye_async.sandbox.rasters.scene", _drawn)

    def __call__(
        self,
        *arguments: object,
        on: Stage | None = None,
        stdin: bytes | io.BytesIO = b"",
        links: bool = False,
        encoding: str | None = None,
    ) -> Ran:
        """What the command did, on a stage or with what the environment leads to; `encoding` is that of its output."""
        with self._monkeypatch.context() as patched:
            given = io.BytesIO(stdin) if isinstance(stdin, bytes) else stdin
            patched.setattr("sys.stdin", io.TextIOWrapper(given, encoding="utf-8"))
            # In the order of `capsys`; the messages are escaped by Python itself.
            written = [
                io.TextIOWrapper(io.BytesIO(), encoding, errors, write_through=True)
                for errors in (("strict", "backslashreplace") if encoding is not None else ())
            ]
            for name, stream in zip(("sys.stdout", "sys.stderr"), written, strict=False):
                patched.setattr(name, stream)
            code = self._run(patched, arguments, on)
        captured = self._capsys.readouterr()
        ran = Ran(code, *([stream.buffer.getvalue().decode(encoding) for stream in written] or captured))
        self._check(ran, on, links=links)
        return ran

    def in_terminal(
        self, *arguments: object, on: Stage, keys: str = "", encoding: str = "utf-8", **variables: str
    ) -> Ran:
        """The same in a terminal, whose size is what the variables say; its whole screen is the output."""
        outside, inside = pty.openpty()
        shown: list[bytes] = []
        # Somebody must read on, or the writer stands still.
        reader = threading.Thread(target=lambda: shown.extend(iter(lambda: _read(outside), b"")))
        reader.start()
        with self._monkeypatch.context() as patched:
            for name, value in {"TERM": "xterm-256color", **variables}.items():
                patched.setenv(name, value)
            for name, mode in (("sys.stdin", "r"), ("sys.stdout", "w"), ("sys.stderr", "w")):
                # It outlives what writes to it by a little.
                errors = "backslashreplace" if name == "sys.stderr" else "strict"
                stream = open(inside, mode, encoding=encoding, errors=errors, closefd=False)  # noqa: SIM115
                patched.setattr(name, stream)
            os.write(outside, keys.encode())
            code = self._run(patched, arguments, on)
            sys.stdout.flush()
        os.close(inside)
        reader.join()
        os.close(outside)
        ran = Ran(code, b"".join(shown).decode(), "")
        self._check(ran, on, links=False)
        return ran

    def _run(self, patched: pytest.MonkeyPatch, arguments: Iterable[object], on: Stage | None) -> int:
        if on is not None:
            # The modules of the commands have it by its name.
            for module in [sys.modules[name] for name in sys.modules if name.startswith(app.__package__)]:
                if getattr(module, "connect", None) is CONNECT:
                    patched.setattr(module, "connect", on.connect)
        # One that nobody handles would end all tests, and so would what ends a process at once.
        patched.setattr("os._exit", _unended)
        before = [signal.signal(number, _unhandled) for number in (signal.SIGTERM, signal.SIGHUP)]
        try:
            return main([str(argument) for argument in arguments])
        except SystemExit as ended:
            return ended.code  # type: ignore[return-value]
        except KeyboardInterrupt:
            pytest.fail("a KeyboardInterrupt left the command line")
        finally:
            for number, handler in zip((signal.SIGTERM, signal.SIGHUP), before, strict=True):
                signal.signal(number, handler)

    def _check(self, ran: Ran, on: Stage | None, *, links: bool) -> None:
        check_secrets(ran, [*self.secrets, *(on.secrets if on is not None else ())], links=links)


def _unhandled(number: int, _: object) -> None:
    pytest.fail(f"nothing handled {signal.Signals(number).name}")


def _unended(code: int) -> NoReturn:
    pytest.fail(f"it would have ended at once, with {code}")


def interrupt() -> None:
    """As Ctrl-C does."""
    os.kill(os.getpid(), signal.SIGINT)


# --- as a process ----------------------------------------------------------------------------------------------------


class Service:
    """`iceye-async sandbox` as a process: the variables that lead to it, and tasks in it."""

    def __init__(self, environment: Mapping[str, str], contract_id: str) -> None:
        self.environment, self.contract_id = environment, contract_id

    @property
    def secrets(self) -> list[str]:
        return [self.environment["ICEYE_CLIENT_SECRET"]]

    def create(self, *orders: Mapping[str, Any]) -> list[str]:
        """The ids of new tasks, for vessels unless an order says something else."""
        return asyncio.run(self._create(orders))

    def status(self, task_id: str) -> str:
        """That of a task now."""
        return asyncio.run(self._status(task_id))

    async def _create(self, orders: Sequence[Mapping[str, Any]]) -> list[str]:
        now = datetime.now(UTC)
        usual = {
            "contract_id": self.contract_id,
            "imaging_mode": "SPOTLIGHT",
            "point_of_interest": (60.2, 24.9),
            "acquisition_window": (now, now + timedelta(days=1)),
            "product_types": ["GRD"],
            "derivative_product_types": ["DC_VESSELS"],
        }
        async with self._client() as client:
            return [(await client.tasks.create(**(usual | order))).id for order in orders]

    async def _status(self, task_id: str) -> str:
        async with self._client() as client:
            return (await client.tasks.get(task_id)).status

    def _client(self) -> Client:
        address, *credentials = self.environment.values()
        return Client(address, auth=ClientCredentials(*credentials), rate_limit=None)


@contextlib.contextmanager
def served(scenario: Path, speed: float = 20_000) -> Iterator[Service]:
    """A sandbox of this scenario, until the end of the block."""
    command = [*PROGRAM, "sandbox", "--speed", str(speed), "--scenario", str(scenario)]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, env=environment(None)
    ) as process:
        assert process.stdout is not None
        try:
            found = {}
            while (line := process.stdout.readline()).startswith("export "):
                name, _, value = line.removeprefix("export ").rstrip("\n").partition("=")
                found[name] = value
            assert line.startswith("# contract ")
            yield Service(found, line.split()[-1])
        finally:
            process.kill()


def environment(service: Service | None, **changes: str | None) -> dict[str, str]:
    """For a process: it has what leads to the service, and nothing that a developer may have set for terminals."""
    passed = {name: value for name, value in os.environ.items() if name not in {*VARIABLES, *OF_DEVELOPERS}}
    passed |= {"TERM": "xterm-256color", **(service.environment if service is not None else {})}
    passed |= {name: value for name, value in changes.items() if value is not None}
    return {name: value for name, value in passed.items() if changes.get(name, "") is not None}


class Process(subprocess.Popen[bytes]):
    """One that does not outlive its block."""

    def __exit__(self, *error: object) -> None:
        self.kill()
        super().__exit__(*error)  # type: ignore[arg-type]


def start(
    service: Service | None, *arguments: object, env: Mapping[str, str | None] | None = None, **options: Any
) -> Any:
    """The command as a process whose output can be read."""
    options = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
    program = options.pop("program", PROGRAM)
    return Process([*program, *map(str, arguments)], env=environment(service, **(env or {})), **options)


def ended(process: Any, service: Service | None, read: str = "", *, within: float = 20.0) -> Ran:
    """What it left behind; `read` is what was read of it before."""
    try:
        out, err = process.communicate(timeout=within)
    except subprocess.TimeoutExpired:
        process.kill()
        out, err = process.communicate()
        pytest.fail(f"it did not end within {within} s; it had said {read + out.decode()!r} and {err.decode()!r}")
    ran = Ran(process.returncode, read + (out or b"").decode(), (err or b"").decode())
    check_secrets(ran, service.secrets if service is not None else (), links=False)
    return ran


def read_until(process: Any, text: str) -> str:
    """What it writes up to the line that has this in it."""
    read = ""
    for line in process.stdout:
        read += line.decode()
        if text in read:
            return read
    process.wait()
    pytest.fail(f"it ended before it said {text}: {read!r} {process.stderr.read()!r}")


def ran(
    service: Service | None, *arguments: object, env: Mapping[str, str | None] | None = None, **options: Any
) -> Ran:
    """The command as a process, to its end."""
    return ended(start(service, *arguments, env=env, **options), service)


def shell(service: Service | None, script: str, cwd: Path, **env: str | None) -> Ran:
    """A line of a shell, in which `iceye-async` is the command; `PIPESTATUS` is there."""
    command = " ".join(PROGRAM)
    whole = f'iceye-async() {{ {command} "$@"; }}; {script}'
    process = start(service, whole, program=["bash", "-c"], cwd=cwd, env=env)
    return ended(process, service)


class Terminal:
    """A command in a terminal of its own, of so many columns and rows."""

    def __init__(
        self,
        service: Service | None,
        *arguments: object,
        columns: int = 80,
        rows: int = 24,
        env: Mapping[str, str | None] | None = None,
    ) -> None:
        self._screen, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            [*PROGRAM, *map(str, arguments)],
            env=environment(service, **(env or {})),
            preexec_fn=lambda: os.login_tty(inside),
        )
        os.close(inside)
        self._secrets = service.secrets if service is not None else []
        self.shown = ""
        """All that was written to it so far."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait()
        os.close(self._screen)

    def type(self, text: str) -> None:
        """As soon as somebody waits for it: Python does not notice a Ctrl-C that comes just before it begins to."""
        while _state(self.process.pid) != "S":
            pass
        os.write(self._screen, text.encode())

    def wait_for(self, pattern: str, within: float = 20.0) -> None:
        """Until this has been written."""
        until = time.monotonic() + within
        while re.search(pattern, self.shown) is None:
            if not self._read(until - time.monotonic()):
                pytest.fail(f"{pattern} was never written: {self.shown!r}")

    def end(self, within: float = 20.0) -> Ran:
        """What it left behind, all of it on its screen."""
        until = time.monotonic() + within
        while self._read(until - time.monotonic()):
            pass
        try:
            code = self.process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            pytest.fail(f"it did not end within {within} s: {self.shown!r}")
        ran = Ran(code, self.shown, "")
        check_secrets(ran, self._secrets, links=False)
        return ran

    def _read(self, seconds: float) -> bool:
        """Whether there is more, in so many seconds."""
        ready, _, _ = select.select([self._screen], [], [], max(0.0, seconds))
        piece = _read(self._screen) if ready else b""
        self.shown += piece.decode("utf-8", "replace")
        return bool(piece)


def _state(pid: int) -> str:
    """What a process does, as Linux says it: S where it waits for something."""
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]


def _read(screen: int) -> bytes:
    try:
        return os.read(screen, 65_536)
    except OSError:  # Linux says so where nobody has the other side open any more.
        return b""


def hides_cursor(shown: str) -> bool:
    """Whether the cursor is left hidden."""
    return shown.rfind("\x1b[?25l") > shown.rfind("\x1b[?25h")


def plain(shown: str) -> str:
    """The text of a screen's bytes; what is not a sequence that rich and click write stays."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown).replace("\r\n", "\n").replace("\r", "\n")
