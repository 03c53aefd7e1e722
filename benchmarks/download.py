"""What does a large download cost, beside what people use today?

A local nginx serves, over http and https, and each download is in a fresh process. The ways are run in turn, round
after round (the first does not count); each round gives one ratio, and the medians are printed. Three questions:

cost: one file. The least that the same process needs for a file of a byte is taken off: what is left is the download.
  iceye-async ends when the file is on the disk and its SHA-256 is known; `--to /dev/shm` leaves the disk out.
polls: four files, and in the same event loop a GET of a small body from another process every 20 ms: how long is it?
limited: one file from a host that gives each connection 20 MiB/s: is that found out, and what does it gain?

    python benchmarks/download.py [cost] [polls] [limited] [--size 1024] [--part 256] [--rounds 5] [--to DIR] [--pin]

It uses nginx, curl and, where they are there, aria2c, stac-asset and planet.
"""

import argparse
import contextlib
import importlib.util
import json
import os
import platform
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import NamedTuple

from _download_ways import EVERY, FETCH, MIB

CHILD = [sys.executable, str(Path(__file__).with_name("_download_ways.py"))]
LIMITED_ROUNDS = 2
INSTALL = "apt-get install nginx-light curl aria2"
AGAIN = " again (control)"

# --- servers ---------------------------------------------------------------------------------------------------------

NGINX = """
daemon off; master_process off; pid {name}.pid; error_log stderr error;
events {{ }}
http {{
    {temporary}
    default_type application/octet-stream; sendfile on; keepalive_requests 1000000;
    log_format connections '$uri $connection'; access_log {name}.log connections;
    server {{
        listen 127.0.0.1:{http}; listen 127.0.0.1:{https} ssl;
        ssl_certificate certificate.pem; ssl_certificate_key key.pem;
        root files;
        location /limited/ {{ alias files/; limit_rate 20m; }}
        location = /poll {{ return 200 '{{"data": []}}'; }}
    }}
}}
"""
CERTIFICATE = (
    "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    " -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout key.pem -out certificate.pem"
)


class Server(NamedTuple):
    """Where the files are: for each scheme the links to the big one, one of four, and one of a byte or so."""

    name: str
    links: dict[str, dict[str, str]]
    poll: str
    log: Path | None = None


def nginx(stack: contextlib.ExitStack, folder: Path, size: int, part: int) -> Server:
    """Two nginx of one process each: one for the files, one for polls."""
    (folder / "files").mkdir()
    for name, length in (("big", size), ("part", part), ("tiny", 1)):
        with (folder / "files" / f"{name}.bin").open("wb") as file:
            for begin in range(0, length, MIB):
                file.write(os.urandom(min(MIB, length - begin)))
    subprocess.run(CERTIFICATE.split(), cwd=folder, check=True, stderr=subprocess.DEVNULL)
    os.environ["SSL_CERT_FILE"] = str(folder / "certificate.pem")
    ports = {}
    for name in ("files", "polls"):
        ports[name] = {scheme: free_port() for scheme in ("http", "https")}
        kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
        temporary = " ".join(f"{kind}_temp_path {name}-{kind};" for kind in kinds)
        (folder / f"{name}.conf").write_text(NGINX.format(name=name, temporary=temporary, **ports[name]))
        server = subprocess.Popen(["nginx", "-p", folder, "-c", folder / f"{name}.conf"])
        stack.callback(server.wait)
        stack.callback(server.terminate)
        wait_for(ports[name]["http"])
    links = {
        scheme: {name: f"{scheme}://127.0.0.1:{port}/{name}.bin" for name in ("big", "part", "tiny", "limited/big")}
        for scheme, port in ports["files"].items()
    }
    told = subprocess.run(["nginx", "-v"], capture_output=True, text=True, check=True).stderr.split()[2]
    return Server(told, links, f"http://127.0.0.1:{ports['polls']['http']}/poll", folder / "files.log")


def sandbox(stack: contextlib.ExitStack, size: int, part: int) -> Server:
    """Two sandboxes, of which one is for polls. They have no https and no limits, and need more CPU than nginx."""
    links: list[dict[str, str]] = []
    for _ in range(2):
        command = [*CHILD, "sandbox", str(size), str(part)]
        server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        stack.enter_context(server)
        assert server.stdout is not None
        links.append(json.loads(server.stdout.readline()))
    return Server("the sandbox (Python, aiohttp)", {"http": links[0]}, links[1]["tiny"])


def free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        port: int = listening.getsockname()[1]
    return port


def wait_for(port: int) -> None:
    until = time.monotonic() + 10
    while True:
        try:
            return socket.create_connection(("127.0.0.1", port)).close()
        except ConnectionRefusedError:
            if time.monotonic() > until:
                raise
            time.sleep(0.02)


# --- what is measured ------------------------------------------------------------------------------------------------

# A process that is small itself: the memory of a child counts from that of the process that has started it.
GAUGE = """
import os, sys, time
began = time.perf_counter()
pid = os.posix_spawnp(sys.argv[1], sys.argv[1:], os.environ)
_, status, used = os.wait4(pid, 0)
print(time.perf_counter() - began, used.ru_utime + used.ru_stime, used.ru_maxrss / 1024)
sys.exit(os.waitstatus_to_exitcode(status))
"""


class Cost(NamedTuple):
    """Of one process: seconds, CPU seconds, MiB at its highest."""

    wall: float
    cpu: float
    memory: float


def command(way: str, url: str, folder: str) -> list[str]:
    """How this way fetches this."""
    way, trusted = way.removesuffix(AGAIN), os.environ.get("SSL_CERT_FILE")
    if way == "curl":
        trust = [] if trusted is None else ["--cacert", trusted]
        return ["curl", "-q", "--silent", "--show-error", "--fail", *trust, "--output", f"{folder}/0.bin", url]
    if way == "aria2c":
        trust = [] if trusted is None else [f"--ca-certificate={trusted}"]
        one = ["--max-connection-per-server=1", "--split=1", "--file-allocation=none"]
        return ["aria2c", "--no-conf", "--quiet", *one, *trust, f"--dir={folder}", "--out=0.bin", url]
    return [*CHILD, way, folder, url]


def fetched(way: str, url: str, to: Path, size: int) -> Cost:
    """What it costs to fetch this, beginning and end of the process included."""
    with tempfile.TemporaryDirectory(dir=to) as folder:
        gauge = [sys.executable, "-I", "-S", "-c", GAUGE, *command(way, url, folder)]
        told = subprocess.run(gauge, stdout=subprocess.PIPE, check=False)
        if told.returncode:
            raise SystemExit(f"{way} failed with {told.returncode}")
        arrived = [path.stat().st_size for path in Path(folder).iterdir() if not path.name.startswith(".")]
        if len(arrived) != 1 or arrived[0] < size:
            raise SystemExit(f"{way} brought files of {arrived} bytes instead of one of {size}")
    return Cost(*map(float, told.stdout.split()))


def installed() -> list[str]:
    """The ways that there are here; a line for each that is not."""
    there = {way: shutil.which(way) is not None for way in ("curl", "aria2c")}
    there |= {way: importlib.util.find_spec(way.replace("-", "_")) is not None for way in ("stac-asset", "planet")}
    for way in (way for way, is_there in there.items() if not is_there):
        print(f"{way} is not installed: skipped")
    return [way for way in ("curl", "aria2c", *FETCH) if there.get(way, True)]


def against(mine: Sequence[float], first: Sequence[float]) -> tuple[str, str]:
    """The median of the ratios of each round, and between which they are."""
    ratios = sorted(one / other for one, other in zip(mine, first, strict=True))
    return f"{statistics.median(ratios):.2f}", f"{ratios[0]:.2f} to {ratios[-1]:.2f}"


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    print(f"\n{title}")
    widths = [max(map(len, column)) for column in zip(head, *rows, strict=True)]
    for first, *others in (head, *rows):
        cells = [first.ljust(widths[0]), *(text.rjust(width) for text, width in zip(others, widths[1:], strict=True))]
        print("  ".join(cells).rstrip())


def cost(server: Server, ways: list[str], to: Path, size: int, rounds: int) -> None:
    first, ways = ways[0], [*ways, ways[0] + AGAIN]
    for scheme, links in server.links.items():
        base: dict[str, list[Cost]] = {way: [] for way in ways}
        whole: dict[str, list[Cost]] = {way: [] for way in ways}
        for _ in range(rounds + 1):
            for way in ways:
                base[way].append(fetched(way, links["tiny"], to, 1))
                whole[way].append(fetched(way, links["big"], to, size))
        rate: dict[str, list[float]] = {}
        cpu: dict[str, list[float]] = {}
        rows = []
        for way in ways:
            empty = Cost(*map(min, zip(*base[way], strict=True)))
            rate[way] = [size / 1e6 / max(run.wall - empty.wall, 1e-3) for run in whole[way][1:]]
            cpu[way] = [max(run.cpu - empty.cpu, 1e-3) / size * 2**30 for run in whole[way][1:]]
            row = [way, f"{statistics.median(rate[way]):.0f}", *against(rate[way], rate[first])]
            row += [f"{statistics.median(cpu[way]):.2f}", against(cpu[way], cpu[first])[0]]
            row += [f"{statistics.median(run.memory for run in whole[way][1:]) - empty.memory:.1f}"]
            rows.append([*row, f"{empty.memory:.0f}", f"{empty.wall:.2f}"])
        beside = f"x {first}"
        head = ["", "MB/s", beside, "spread", "CPU s/GiB", beside, "MiB over base", "base MiB", "base s"]
        table(
            f"{size // MIB} MiB over {scheme}; base: the same process with a file of a byte, at the least", head, rows
        )


def polls(server: Server, to: Path, part: int, rounds: int) -> None:
    usual = "aiohttp, 64 KiB"
    scheme, links = list(server.links.items())[-1]
    ways = ["idle", usual, "iceye-async", usual + AGAIN]
    found: dict[str, list[tuple[float, ...]]] = {way: [] for way in ways}
    for _ in range(rounds + 1):
        for way in ways:
            with tempfile.TemporaryDirectory(dir=to) as folder:
                words = [way.removesuffix(AGAIN), server.poll, links["tiny"], folder, *[links["part"]] * 4]
                program = [*CHILD, "poll", *words]
                samples, took = json.loads(subprocess.run(program, stdout=subprocess.PIPE, check=True).stdout)
            middle, p99 = statistics.median(samples), sorted(samples)[int(len(samples) * 0.99)]
            found[way].append((middle, p99, len(samples), 4 * part / 1e6 / took))
    measured = {way: list(zip(*rounds_of[1:], strict=True)) for way, rounds_of in found.items()}
    rows = []
    for way, (middles, p99s, counts, rates) in measured.items():
        row = [way, f"{statistics.median(middles):.2f}", *against(middles, measured[usual][0])]
        row += [f"{statistics.median(p99s):.2f}", *against(p99s, measured[usual][1])]
        speed = "" if way == "idle" else f"{statistics.median(rates):.0f}"
        rows.append([*row, f"{statistics.median(counts):.0f}", speed])
    title = f"a poll every {EVERY * 1e3:.0f} ms, while four files of {part // MIB} MiB come over {scheme}"
    head = ["", "median ms", "x aiohttp", "spread", "p99 ms", "x aiohttp", "spread", "polls", "MB/s"]
    table(title, head, rows)


def limited(server: Server, ways: list[str], to: Path, size: int) -> None:
    if server.log is None or "curl" not in ways:
        print("\nlimited: needs nginx and curl; skipped")
        return
    scheme, links = list(server.links.items())[-1]
    rows = []
    for _ in range(LIMITED_ROUNDS):
        curl = 0.0
        for way in ("curl", "iceye-async"):
            before = server.log.stat().st_size
            wall = fetched(way, links["limited/big"], to, size).wall
            curl = curl or wall
            time.sleep(1.0)  # nginx logs a request when it has noticed that the connection is gone
            lines = server.log.read_bytes()[before:].splitlines()
            row = [way, f"{wall:.1f}", f"{size / 1e6 / wall:.0f}", f"{curl / wall:.2f}"]
            rows.append([*row, str(len(set(lines))), str(len(lines))])
    title = f"{size // MIB} MiB over {scheme} from a host that gives each connection 20 MiB/s"
    table(title, ["", "s", "MB/s", "x curl", "connections", "requests"], rows)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("questions", nargs="*", choices=("cost", "polls", "limited", "all"), default="all")
    parser.add_argument("--size", type=int, default=1024, help="MiB of the file of `cost` and `limited`")
    parser.add_argument("--part", type=int, default=256, help="MiB of each of the four files of `polls`")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--to", type=Path, help="folder for what is fetched; else a temporary one")
    parser.add_argument("--pin", action="store_true", help="one core for the servers, another for the client")
    options = parser.parse_args()
    asked = {"cost", "polls", "limited"} if "all" in options.questions else set(options.questions)
    size, part, rounds = options.size * MIB, options.part * MIB, options.rounds
    for name in [name for name in os.environ if name.lower().endswith("_proxy")]:
        del os.environ[name]
    os.environ["PATH"] += os.pathsep + "/usr/sbin"  # where nginx is, and most users do not look
    cores = sorted(os.sched_getaffinity(0))
    with tempfile.TemporaryDirectory() as temporary, contextlib.ExitStack() as stack:
        to = Path(temporary) / "to" if options.to is None else options.to
        to.mkdir(parents=True, exist_ok=True)
        if options.pin:
            os.sched_setaffinity(0, cores[:1])
        if shutil.which("nginx") is None:
            print(f"nginx is not installed ({INSTALL}): the sandbox serves, in Python and over http only")
            server = sandbox(stack, size, part)
        else:
            server = nginx(stack, Path(temporary), size, part)
        if options.pin:
            os.sched_setaffinity(0, cores[-1:])
        ways = installed()
        pinned = "servers and client on a core each" if options.pin else "nothing pinned"
        names = ("aiohttp", *(way for way in ("stac-asset", "planet") if way in ways))
        versions = ", ".join(f"{name} {version(name)}" for name in names)
        print(f"CPython {platform.python_version()}, {versions}, {len(cores)} {platform.machine()} cores, {pinned}")
        print(f"from {server.name} to {to}; medians of {rounds} rounds")
        if "cost" in asked:
            cost(server, ways, to, size, rounds)
        if "polls" in asked:
            polls(server, to, part, rounds)
        if "limited" in asked:
            limited(server, ways, to, size)


if __name__ == "__main__":
    main()
