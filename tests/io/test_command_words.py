"""What the command line says names options and variables, and no arguments of Python."""

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import iceye_async
from iceye_async.cli.words import reworded

ROOT = Path(iceye_async.__file__).parent
OF_OTHERS = {"detections.py", "geo.py", "notebook.py", "pictures", "pytest_plugin.py", "stac.py"}
"""What no command comes to."""
PYTHON = re.compile(r"\b[a-z_]+=(?!=)|\.latest|client\.|\w\(\)|\bNone\b|\b[a-z]+_[a-z_]+\b")
"""An argument, an attribute, a call, a name with an underscore."""
NOT_WORDS = re.compile(r"\| None$|^(PRAGMA|SELECT|CREATE) |^X?\?mode=|^bytes=|^DerivativeSet\(")
"""Annotations, SQL, URIs, headers, reprs."""
FOR_PROGRAMS = (
    *("pass auth=", "the token source gave no Token", "without an access_token", "task_ids are ids", "on_event"),
    *(
        "time without a zone",
        "has trust_env",
        "http= has an auth",
        "link_http=",
        "client.await_batch(",
        "download() takes",
    ),
    *("was not closed", "obstore.store", "clock is an object", "await_batch takes", "ssl is an ssl"),
)
"""No command makes the mistakes that these are about, or it has words of its own."""
WHOLE = {"what had arrived is on .latest; wait again to go on": "; {}"}
"""Parts of messages, and how they stand in them."""


def texts(tree: ast.Module) -> Iterator[str]:
    """Every text with more than one word that is not a docstring; an X stands for what is put into it."""
    parts = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
    parts |= {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Expr)}
    for node in ast.walk(tree):
        if isinstance(node, ast.JoinedStr):
            yield "".join(str(part.value) if isinstance(part, ast.Constant) else "X" for part in node.values)
        elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in parts:
            yield node.value


def test_a_message_of_the_library_names_no_python_once_it_is_reworded() -> None:
    for path in sorted(ROOT.rglob("*.py")):
        if {*path.relative_to(ROOT).parts} & {*OF_OTHERS, "cli", "display", "sandbox"}:
            continue
        said = [text for text in texts(ast.parse(path.read_text(encoding="utf-8"))) if " " in text]
        left = [reworded(WHOLE.get(text, "{}").format(text)) for text in said if not NOT_WORDS.search(text)]
        python = [text for text in left if PYTHON.search(text) and not any(known in text for known in FOR_PROGRAMS)]
        assert not python, path


def test_what_the_service_says_stays_as_it_is() -> None:
    assert reworded("GET /tasks: 400: the window is over") == "GET /tasks: 400: the window is over"
