"""Makes the pictures of the README, and what the notebooks of the docs show: from real runs against a local sandbox.

    nox -s pictures

A command runs in a terminal of 80 columns; what it writes there is read as a terminal does, and some moments of it
become an SVG that shows one after the other. The notebooks are run from their first cell to their last, and keep what
they gave; the cells of the first one that are tagged `picture` are drawn by a browser: Chromium or Chrome, which is not
installed here.
"""

import os
import pty
import re
import select
import shutil
import struct
import subprocess
import sys
import termios
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from fcntl import ioctl
from io import StringIO
from itertools import groupby
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import nbformat
import pyte
from nbclient import NotebookClient
from nbconvert import HTMLExporter
from PIL import Image, ImageChops
from rich.console import Console
from rich.text import Text

COMMAND = [sys.executable, "-m", "iceye_async"]
HERE = Path(__file__).parent / "pictures"
NOTEBOOKS = [
    Path(__file__).parent / "notebooks" / f"{name}.ipynb" for name in ("first-wait", "batch-to-map", "products-to-stac")
]
BROWSERS = ("chromium", "chromium-browser", "google-chrome", "chrome")
PAGE, SHARPNESS = (860, 2400), 2
"""Pixels of a page, of which the empty part is cut off; and of the picture for each of them."""
COLUMNS, ROWS = 80, 24
SPEED = 900
"""Of the sandbox: the hour and a half of a task takes six seconds. The waits are in real time, so they look five times
a second (`--every`), which is not shown."""
SECONDS = 1.2
"""That each moment is shown."""
LAST = 4.0
"""That the last one is."""
MOST = 10
"""Moments of a picture."""

_COLOURS = {"brown": "yellow", "brightbrown": "bright_yellow", "default": ""}


def main() -> None:
    """Write every picture."""
    HERE.mkdir(exist_ok=True)
    with TemporaryDirectory() as folder, sandbox() as environment:
        watch = order(environment)
        shoot(
            "watch",
            ["derivatives", "watch", watch, "--to", "detections", "--every", "0.2"],
            environment,
            folder,
            shown="derivatives watch $TASK --to detections",
        )
        (Path(folder) / "tasks.txt").write_text("".join(f"{order(environment)}\n" for _ in range(12)))
        arguments = [
            "batch",
            "run",
            "--journal",
            "night.db",
            "--to",
            "detections",
            "--ids",
            "tasks.txt",
            "--every",
            "0.2",
        ]
        shoot("batch", arguments, environment, folder)
    first, *_ = [run(path) for path in NOTEBOOKS]
    draw("notebook", first)


@contextmanager
def sandbox() -> Iterator[dict[str, str]]:
    """A sandbox as a process, and the environment that leads to it."""
    command = [*COMMAND, "sandbox", "--speed", str(SPEED), "--seed", "11"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as running:
        told = {}
        assert running.stdout is not None
        while (line := running.stdout.readline()).startswith("export "):
            name, _, value = line.removeprefix("export ").rstrip().partition("=")
            told[name] = value
        yield {**os.environ, **told, "TERM": "xterm-256color", "COLUMNS": str(COLUMNS), "LINES": str(ROWS)}
        running.terminate()


def order(environment: dict[str, str]) -> str:
    """The id of a task that is ordered now."""
    now = datetime.now(UTC)
    window = f"{now:%Y-%m-%dT%H:%MZ}/{now + timedelta(days=1):%Y-%m-%dT%H:%MZ}"
    arguments = [
        "tasks",
        "create",
        "--mode",
        "SPOTLIGHT",
        "--point",
        "51.95,4.05",
        "--window",
        window,
        "--product",
        "GRD",
    ]
    wanted = [word for kind in ("VESSELS", "AIRCRAFT", "VEHICLES") for word in ("--derivative", f"DC_{kind}")]
    told = subprocess.run(
        [*COMMAND, *arguments, *wanted, "--yes"],
        env=environment, capture_output=True, text=True, check=True,
    )  # fmt: skip
    return told.stdout.splitlines()[0].partition(": ")[2]


def shoot(name: str, arguments: list[str], environment: dict[str, str], folder: str, shown: str = "") -> None:
    """Run the command to its end, and write what was to be seen."""
    line = f"$ iceye-async {shown or ' '.join(arguments[:-2])}"
    moments = [Text(line), *chosen(list(screens(arguments, environment, folder, line)))]
    rows = max(len(moment.plain.splitlines()) for moment in moments)
    (HERE / f"{name}.svg").write_text(
        animated([drawn(moment, rows, f"{name}-{number}") for number, moment in enumerate(moments)])
    )
    print(f"{name}: {len(moments)} moments")


def screens(arguments: list[str], environment: dict[str, str], folder: str, line: str) -> Iterator[Text]:
    """The screen whenever it has changed."""
    screen = pyte.Screen(COLUMNS, ROWS)
    stream = pyte.ByteStream(screen)
    stream.feed(f"{line}\r\n".encode())
    ours, theirs = pty.openpty()
    ioctl(theirs, termios.TIOCSWINSZ, struct.pack("HHHH", ROWS, COLUMNS, 0, 0))
    with subprocess.Popen(
        [*COMMAND, *arguments], stdin=theirs, stdout=theirs, stderr=theirs, env=environment, cwd=folder
    ) as running:
        os.close(theirs)
        while True:
            try:
                piece = os.read(ours, 65_536)
            except OSError:
                piece = b""
            if not piece:
                break
            stream.feed(piece)
            if not select.select([ours], [], [], 0.03)[0]:
                yield read(screen)
        yield read(screen)
    os.close(ours)
    if running.returncode:
        raise SystemExit(f"{' '.join(arguments)} ended with {running.returncode}")


def read(screen: Any) -> Text:
    """What is on the screen, with its colours."""
    lines = []
    for row in range(screen.lines):
        line = Text()
        cells = [screen.buffer[row][column] for column in range(screen.columns)]
        for style, run in groupby(cells, _style):
            line.append("".join(cell.data for cell in run), style)
        line.rstrip()
        lines.append(line)
    while lines and not lines[-1].plain:
        lines.pop()
    return Text("\n").join(lines)


def _style(cell: Any) -> str:
    colour = _COLOURS.get(cell.fg, cell.fg)
    if re.fullmatch("[0-9a-f]{6}", colour):
        colour = f"#{colour}"
    colour = re.sub("^bright(?!_)", "bright_", colour)
    return " ".join(filter(None, [colour, "bold" if cell.bold else "", "italic" if cell.italics else ""]))


def chosen(found: list[Text]) -> list[Text]:
    """Some of them, evenly spread over those that differ in more than digits and spinners; always the last."""
    moments: list[Text] = []
    for moment in found:
        if not moments or _outline(moment) != _outline(moments[-1]):
            moments.append(moment)
    moments = [*moments[:-1], found[-1]]
    if len(moments) <= MOST:
        return moments
    step = (len(moments) - 1) / (MOST - 1)
    return [moments[round(step * number)] for number in range(MOST)]


def _outline(moment: Text) -> str:
    return re.sub(r"[\d\u2800-\u28ff]+", "#", moment.plain)


def drawn(moment: Text, rows: int, unique: str) -> str:
    """The moment as SVG, without fonts from elsewhere."""
    console = Console(
        file=StringIO(), record=True, width=COLUMNS, height=rows, force_terminal=True, color_system="truecolor"
    )
    padded = moment.copy()
    padded.append("\n" * (rows - len(moment.plain.splitlines())))
    console.print(padded)
    svg = console.export_svg(title="iceye-async", unique_id=unique)
    return re.sub(r"\s*@font-face \{.*?\}", "", svg, flags=re.DOTALL)


def animated(moments: list[str]) -> str:
    """One after the other, for ever. Who shows no animation shows the last one."""
    whole = SECONDS * (len(moments) - 1) + LAST
    box = re.search(r'viewBox="([^"]+)"', moments[0])
    assert box is not None
    styles, layers = [], []
    for number, moment in enumerate(moments):
        begins = 100 * SECONDS * number / whole
        ends = 100 if number == len(moments) - 1 else 100 * SECONDS * (number + 1) / whole
        before = "" if number == 0 else f"0%, {begins - 0.001:.3f}% {{ visibility: hidden }} "
        after = "" if ends == 100 else f" {ends + 0.001:.3f}%, 100% {{ visibility: hidden }}"
        shown = f"{begins:.3f}%, {ends:.3f}% {{ visibility: visible }}"
        styles.append(f"@keyframes m{number} {{ {before}{shown}{after} }}")
        still = "visible" if ends == 100 else "hidden"
        styles.append(f".m{number} {{ visibility: {still}; animation: m{number} {whole:g}s step-end infinite }}")
        layers.append(f'<g class="m{number}">{_inside(moment)}</g>')
    style = "\n".join(styles)
    return f'<svg viewBox="{box[1]}" xmlns="http://www.w3.org/2000/svg">\n<style>\n{style}\n</style>\n{"".join(layers)}\n</svg>\n'


def _inside(svg: str) -> str:
    return svg.partition(">")[2].rpartition("</svg>")[0]


def run(path: Path) -> Any:
    """The notebook as it is after its last cell, kept without what is different each time."""
    notebook = nbformat.read(path, 4)
    with TemporaryDirectory() as folder:
        NotebookClient(
            notebook, timeout=120, kernel_name="python3", record_timing=False, resources={"metadata": {"path": folder}}
        ).execute()
    notebook.metadata.pop("language_info", None)
    nbformat.write(notebook, path)
    print(f"{path.name}: {len(notebook.cells)} cells")
    return notebook


def draw(name: str, notebook: Any) -> None:
    """The cells that are tagged, as a page shows them."""
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        raise SystemExit(f"no browser to draw {name}.png with: install one of {', '.join(BROWSERS)}")
    cells = [cell for cell in notebook.cells if "picture" in cell.metadata.get("tags", [])]
    page, _ = HTMLExporter(require_js_url="", mathjax_url="").from_notebook_node(
        nbformat.from_dict({**notebook, "cells": cells})
    )
    with TemporaryDirectory() as folder:
        (Path(folder) / "page.html").write_text(page)
        shot = Path(folder) / "page.png"
        wide, high = PAGE
        subprocess.run(
            [browser, "--headless=new", "--no-sandbox", "--hide-scrollbars", f"--force-device-scale-factor={SHARPNESS}",
             f"--window-size={wide},{high}", f"--screenshot={shot}", (Path(folder) / "page.html").as_uri()],
            capture_output=True, check=True, timeout=120,
        )  # fmt: skip
        trimmed(Image.open(shot).convert("RGB")).quantize(256).save(HERE / f"{name}.png", optimize=True)
    print(f"{name}: {len(cells)} cells")


def trimmed(picture: Image.Image) -> Image.Image:
    """Without the empty rows and columns around it, but for a margin."""
    box = ImageChops.difference(picture, Image.new("RGB", picture.size, picture.getpixel((0, 0)))).getbbox()
    assert box is not None
    margin = 8 * SHARPNESS
    left, top, right, bottom = box
    assert bottom < picture.height, "the page is longer than what was drawn of it"
    return picture.crop((max(0, left - margin), max(0, top - margin), right + margin, bottom + margin))


if __name__ == "__main__":
    main()
