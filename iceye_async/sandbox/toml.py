"""Scenarios in TOML: read strictly, and with the line of whatever is wrong."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from importlib import resources
from pathlib import Path
from typing import Any, TypeAlias, TypeVar

from attrs import AttrsInstance, fields_dict

from .faults import Fault, LinkFault
from .scenario import COURSE, Scenario
from .terms import Contract

_FOLDER = resources.files(__package__) / "scenarios"
SCENARIOS = tuple(
    sorted(entry.name.removesuffix(".toml") for entry in _FOLDER.iterdir() if entry.name.endswith(".toml"))
)
"""The names of the scenarios that come with the sandbox."""

_TABLES: Mapping[str, type[AttrsInstance]] = {"contracts": Contract, "faults": Fault, "link_faults": LinkFault}
_LONG = re.compile(r'""".*?"""|\'\'\'.*?\'\'\'', re.DOTALL)
"""Texts of several lines."""
_PART = re.compile(r"""(?:"([^"]*)"|'([^']*)'|([\w-]+))""")
_KEY = re.compile(r"""\s*((?:"[^"]*"|'[^']*'|[\w.-]|\s*\.\s*)+?)\s*=""")
_HEADER = re.compile(r"\s*(\[\[?)(.+?)\]\]?\s*(#.*)?$")
_AT_LINE = re.compile(r" \(at line ([0-9]+), column [0-9]+\)| \(at end of document\)")

T = TypeVar("T", bound=AttrsInstance)
Place: TypeAlias = tuple[str | int, ...]
"""The keys and numbers that lead to a table or a value."""


class ScenarioError(ValueError):
    """A scenario that cannot be read. `line` is where in its file, if that can be told."""

    def __init__(self, text: str, line: int | None = None) -> None:
        super().__init__(text)
        self.line = line

    def __reduce__(self) -> tuple[type, tuple[str, int | None]]:
        return (type(self), (str(self), self.line))


def load(source: str | Path) -> Scenario:
    """See `Scenario.load`."""
    if Path(source).suffix == ".toml":
        return _read(str(source), Path(source).read_bytes)
    if str(source) not in SCENARIOS:
        raise ScenarioError(
            f"no scenario is called {str(source)!r}; there are {', '.join(SCENARIOS)}, and files *.toml"
        )
    return _read(str(source), (_FOLDER / f"{source}.toml").read_bytes)


def _read(name: str, read: Callable[[], bytes]) -> Scenario:
    try:
        text = read().decode("utf-8-sig")
    except OSError as error:
        raise ScenarioError(f"{name}: {error.strerror or error}") from None
    except UnicodeDecodeError as error:
        raise ScenarioError(f"{name} is not text in UTF-8: {error.reason} at byte {error.start}") from None
    return _Reader(name, text).scenario()


class _Reader:
    """One file."""

    def __init__(self, name: str, text: str) -> None:
        self._name, self._lines = name, _LONG.sub(lambda found: '""' + "\n" * found[0].count("\n"), text).split("\n")
        try:
            self._document = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            found = _AT_LINE.search(str(error))
            line = int(found[1]) if found is not None and found[1] else len(self._lines)
            raise self._error(_AT_LINE.sub("", str(error)), line) from None

    def scenario(self) -> Scenario:
        document = {**self._document}
        for key, kind in _TABLES.items():
            if key in document:
                document[key] = self._entries(key, kind, document[key])
        for pattern, changes in self._courses(document).items():
            self._made(Scenario, changes, COURSE, ("courses", pattern))
        return self._made(Scenario, document, tuple(fields_dict(Scenario)), ())

    def _courses(self, document: Mapping[str, Any]) -> Mapping[str, Any]:
        courses: Mapping[str, Any] = self._table(document.get("courses", {}), ("courses",))
        return {pattern: self._table(changes, ("courses", pattern)) for pattern, changes in courses.items()}

    def _table(self, given: Any, place: Place) -> Mapping[str, Any]:
        if not isinstance(given, Mapping):
            raise self._error('courses are tables, [courses."pattern"]', self._line_of(place))
        return given

    def _entries(self, key: str, kind: type[T], entries: object) -> Sequence[T]:
        if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
            raise self._error(f"{key} are tables, [[{key}]]", self._line_of((key,)))
        good = tuple(fields_dict(kind))
        return [self._made(kind, entry, good, (key, index)) for index, entry in enumerate(entries)]

    def _made(self, kind: type[T], table: Mapping[str, Any], good: Sequence[str], place: Place) -> T:
        for key in table:
            if key not in good:
                raise self._error(f"unknown {key}; good are {', '.join(good)}", self._line_of((*place, key)))
        try:
            return kind(**table)
        except ValueError as error:
            named = re.split(r"[: ]", str(error))[0].split(".", 1)  # What a value must be begins with where it stands.
            raise self._error(str(error), self._line_of((*place, *named) if named[0] in table else place)) from None

    def _error(self, text: str, line: int | None) -> ScenarioError:
        where = self._name if line is None else f"{self._name}, line {line}"
        return ScenarioError(f"{where}: {text}", line)

    # --- lines, which `tomllib` does not keep ------------------------------------------------------------------

    def _line_of(self, place: Place) -> int | None:
        """The line in which a table or one of its keys stands; where that cannot be told, that of what it is in."""
        found: dict[Place, int | None] = {(): None}
        for here, number in self._places():
            for depth in range(len(here)):
                found.setdefault(here[: depth + 1], number)
        while place not in found:
            place = place[:-1]
        return found[place]

    def _places(self) -> Iterator[tuple[Place, int]]:
        """Where each table and each key stands."""
        table: Place = ()
        entries: dict[Place, int] = {}
        for number, line in enumerate(self._lines, 1):
            if (header := _HEADER.match(line)) is not None:
                table = _path(header[2])
                if header[1] == "[[":
                    entries[table] = entries.get(table, -1) + 1
                    table = (*table, entries[table])
                yield table, number
            elif (key := _KEY.match(line)) is not None:
                yield (*table, *_path(key[1])), number


def _path(dotted: str) -> Place:
    """The keys of a dotted key."""
    return tuple(quoted or literal or bare for quoted, literal, bare in _PART.findall(dotted))
