"""docs/command-line.md says what the command line does."""

import ast
import re
from pathlib import Path

import click

from iceye_async.cli import jsonlines
from iceye_async.cli.app import app
from iceye_async.cli.exits import Exit

PAGE = (Path(__file__).parent.parent / "docs" / "command-line.md").read_text()


def commands(group: click.Group, before: str = "") -> dict[str, click.Command]:
    """Every command that does something, by what is typed."""
    found = {}
    for name, command in group.commands.items():
        inside = commands(command, f"{before}{name} ") if isinstance(command, click.Group) else {}
        found |= inside or {f"{before}{name}": command}
    return found


def told() -> set[str]:
    """Every kind of event that the code has a line for."""
    calls = [node for node in ast.walk(ast.parse(Path(jsonlines.__file__).read_text())) if isinstance(node, ast.Call)]
    named = [call for call in calls if getattr(call.func, "attr", getattr(call.func, "id", "")) == "tell"]
    return {call.args[0].value for call in named if call.args and isinstance(call.args[0], ast.Constant)}


def table(head: str) -> list[list[str]]:
    """The rows of the table with this head."""
    lines = PAGE[PAGE.index(f"| {head} ") :].split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]


def test_every_exit_code_is_told_and_no_other() -> None:
    codes = {int(code) for row in table("code") for code in re.findall(r"\d+", row[0])}

    assert codes == set(Exit)


def test_every_event_is_told_and_no_other() -> None:
    assert {row[0].strip("`") for row in table("`event`")} == told()


def test_every_command_is_told() -> None:
    named = " ".join(row[0] for row in table("command"))

    assert not [name for name in commands(app) for word in name.split() if word not in named]


def test_every_command_has_json_but_the_sandbox_and_help_for_each_option() -> None:
    for name, command in commands(app).items():
        options = [one for one in command.params if isinstance(one, click.Option)]
        assert name == "sandbox" or any("--json" in option.opts for option in options), name
        assert all(option.help for option in options), name
        assert command.help, name
