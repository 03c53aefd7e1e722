"""What a journal holds, as Python and as rows: its setup, its events, errors as JSON, and a checksum for each row.

No row holds a link or a token: of what has arrived there are ids, types, names, sizes and hashes.
"""

import json
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from attrs import frozen

from .. import errors
from ..errors import IceyeError
from ..protocol.links import mask_text

OVER = {"completed": 1, "failed": 2}
"""The kinds of events that end a task, and what each adds to the high half of the checksum of the task's row."""
HIGH = 2**32

_FORGOTTEN = frozenset({"latest"})
"""What an error knows and the journal does not: it holds links."""
_PATHS = frozenset({"path", "done"})
_OF_TYPE: dict[str, Callable[[Any], object]] = {
    "types": frozenset,
    "path": Path,
    "done": lambda paths: tuple(Path(path) for path in paths),
    "failed": lambda failed: {asset: error_from(error) for asset, error in failed.items()},
}
"""The facts of errors that JSON has no type for; any other list is a tuple."""


@frozen
class Setup:
    """What all runs over a journal have in common. `account` is None where nothing tells one from another."""

    origin: str
    account: str | None
    types: tuple[str, ...] | None
    to: str | None

    def to_json(self) -> str:
        return json.dumps({"origin": self.origin, "account": self.account, "types": self.types, "to": self.to})

    @classmethod
    def from_json(cls, text: str) -> "Setup":
        facts = json.loads(text)
        types = facts["types"]
        return cls(facts["origin"], facts["account"], None if types is None else tuple(types), facts["to"])


class Entry(NamedTuple):
    """Something that has become of a task. The order of `seq` is the order in which it happened."""

    seq: int
    task: int
    kind: str
    body: dict[str, Any]


class Start(NamedTuple):
    """What a journal holds when it is opened: what is left to be done, and what was done for it before."""

    setup: Setup
    tasks: list[tuple[int, str]]
    """Number and id of each task that is not over."""
    total: int
    over: int
    delivered: dict[int, dict[str, str]]
    """For tasks that are not over, or have events that nobody acknowledged: what was told, derivative id -> type."""
    ready: dict[int, frozenset[str]]
    """For the same tasks: the types that were ready when something was told last."""
    downloaded: dict[int, set[str]]
    """For the same tasks: the derivatives whose files are on the disk."""
    unacknowledged: list[tuple[Entry, str]]
    """In the order of `seq`, each with the id of its task."""
    requests: int
    damaged: Path | None
    """Where a journal was moved to that could not be gone on with."""


# --- checksums -------------------------------------------------------------------------------------------------------
# SQLite notices damage to its own structure; a digit that has become another one is nobody's but ours to notice.


def meta_sum(key: object, value: object) -> int:
    return zlib.crc32(f"{key} {value}".encode())


def task_sum(number: object, task_id: object, outcome: object = None) -> int:
    crc = zlib.crc32(f"{number} {task_id}".encode())
    return crc if outcome is None else crc + HIGH * OVER.get(str(outcome), 3)


def event_sum(seq: object, task: object, kind: object, body: object, acknowledged: object = 0) -> int:
    crc = zlib.crc32(f"{seq} {task} {kind} {body}".encode())
    if acknowledged == 0:
        return crc
    return crc + HIGH * (1 if acknowledged == 1 else 3)


# --- errors ----------------------------------------------------------------------------------------------------------


def error_facts(error: IceyeError) -> dict[str, Any]:
    """The error as JSON: its class, its message, and those of its facts that can be written down."""
    facts = {name: _plain(name, fact) for name, fact in vars(error).items() if _is_kept(name, fact)}
    return {"class": _class(error), "message": mask_text(str(error)), "facts": facts}


def error_from(row: Mapping[str, Any]) -> IceyeError:
    """The error that was written down: of the same class, with the same message and the same facts."""
    kind = getattr(errors, row["class"], IceyeError)
    if not (isinstance(kind, type) and issubclass(kind, IceyeError)):
        kind = IceyeError
    error: IceyeError = kind(row["message"])
    for name, fact in row["facts"].items():
        setattr(error, name, _typed(name, fact))
    return error


def _class(error: IceyeError) -> str:
    return next(kind.__name__ for kind in type(error).__mro__ if kind.__module__ == errors.__name__)


def _is_kept(name: str, fact: object) -> bool:
    return not name.startswith("_") and name not in _FORGOTTEN and _is_plain(fact)


def _is_plain(fact: object) -> bool:
    if isinstance(fact, Mapping):
        return all(isinstance(key, str) and isinstance(value, IceyeError) for key, value in fact.items())
    if isinstance(fact, list | tuple | frozenset | set):
        return all(_is_plain(value) for value in fact)
    return fact is None or isinstance(fact, str | int | float | Path)


def _plain(name: str, fact: Any) -> Any:
    if isinstance(fact, Mapping):
        return {asset: error_facts(error) for asset, error in fact.items()}
    if isinstance(fact, list | tuple):
        return [_plain(name, value) for value in fact]
    if isinstance(fact, frozenset | set):
        return sorted((_plain(name, value) for value in fact), key=str)
    if isinstance(fact, Path):
        return str(fact)
    return mask_text(fact) if isinstance(fact, str) and name not in _PATHS else fact


def _typed(name: str, fact: Any) -> Any:
    if fact is not None and name in _OF_TYPE:
        return _OF_TYPE[name](fact)
    return tuple(fact) if isinstance(fact, list) else fact
