"""The table of README.md names every row of the catalogue, and for each the tests that there are."""

import ast
import re
from collections import Counter
from pathlib import Path

HERE = Path(__file__).parent
ROWS = {
    f"{group}{number}"
    for group, last in (("A", 17), ("B", 24), ("C", 20), ("D", 18), ("E", 30), ("F", 20), ("G", 8), ("H", 7), ("I", 8))
    for number in range(1, last + 1)
}
OUTCOMES = {"recover", "error", "refuse", "keep"}


def table() -> list[list[str]]:
    lines = (HERE / "README.md").read_text(encoding="utf-8").splitlines()
    return [[cell.strip() for cell in line.strip("|").split(" | ")] for line in lines if re.match(r"\| [A-I]\d", line)]


def existing() -> Counter[tuple[str, str]]:
    """How many tests of which row are in which file."""
    found: Counter[tuple[str, str]] = Counter()
    for path in HERE.glob("test_*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            name = node.name if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) else ""
            if row := re.match(r"test_([a-i])(\d\d)_", name):
                found[f"{row[1].upper()}{int(row[2])}", path.name] += 1
    return found


def test_every_row_is_in_the_table_once() -> None:
    assert Counter(row for row, *_ in table()) == dict.fromkeys(ROWS, 1)


def test_the_tests_of_the_table_are_those_that_there_are() -> None:
    cited = {
        (row, file): int(number)
        for row, _, tests, *_ in table()
        for file, prefix, number in re.findall(r"`(\w+\.py)::test_(\w+)_\*` \((\d+)\)", tests)
        if prefix == f"{row[0].lower()}{int(row[1:]):02}"
    }

    assert cited == existing()


def test_every_outcome_is_one_of_the_four() -> None:
    assert {word for _, _, _, outcome, *_ in table() for word in re.split(r", (?:else )?", outcome)} == OUTCOMES


def test_nothing_is_only_expected_to_fail() -> None:
    marked = "pytest.mark." + "xfail"

    assert not [path.name for path in HERE.glob("*.py") if marked in path.read_text(encoding="utf-8")]
