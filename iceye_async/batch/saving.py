"""A report as a file: JSON, CSV or Parquet, there when it is whole."""

import errno
import importlib
import json
import os
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TextIO

from ..errors import DiskFull, IceyeError, MissingExtra, UsageError
from .history import TaskRecord, time_of

if TYPE_CHECKING:
    from .report import BatchReport

_COLUMNS = (
    "task_id",
    "outcome",
    "types",
    "derivative_ids",
    "files",
    "began",
    "ended",
    "requests",
    "error",
    "message",
)


def save(report: "BatchReport", path: Path) -> None:
    """See `BatchReport.save`."""
    write = _WRITERS.get(path.suffix.lower())
    if write is None:
        raise UsageError(f"{path}: a report is saved as .json, .csv or .parquet, by the suffix of the name")
    try:
        _whole(path, lambda part: write(report, part))
    except OSError as error:
        failure = _not_written(path, error)
    else:
        return
    raise failure


def flat(task: TaskRecord) -> dict[str, Any]:
    """A task as one row, of plain values."""
    error = task.end.get("error")
    values = (
        task.id,
        task.outcome or "waiting",
        task.end.get("types", list(task.types)),
        list(task.derivatives),
        [str(file) for file in task.files],
        time_of(task.end["began"]) if task.end else None,
        time_of(task.end["ended"]) if task.end else None,
        task.end.get("requests"),
        None if error is None else error["class"],
        None if error is None else error["message"],
    )
    return dict(zip(_COLUMNS, values, strict=True))


def _write_json(report: "BatchReport", path: Path) -> None:
    with _text(path) as file:
        file.write(f'{{"requests": {report.requests}, "tasks": [')
        separator = "\n"
        for row in report.rows():
            file.write(separator + json.dumps(row, default=_iso))
            separator = ",\n"
        file.write("\n]}\n")


def _write_csv(report: "BatchReport", path: Path) -> None:
    import csv

    with _text(path) as file:
        writer = csv.writer(file)
        writer.writerow(_COLUMNS)
        for row in report.rows():
            writer.writerow([_cell(value) for value in row.values()])


def _write_parquet(report: "BatchReport", path: Path) -> None:
    try:
        pandas = importlib.import_module("pandas")
        importlib.import_module("pyarrow")
    except ImportError:
        raise MissingExtra("a report as .parquet needs pandas and pyarrow: pip install pandas pyarrow") from None
    rows = list(report.rows())
    pandas.DataFrame(rows, columns=list(_COLUMNS)).to_parquet(path, index=False)


_WRITERS: dict[str, Callable[["BatchReport", Path], None]] = {
    ".json": _write_json,
    ".csv": _write_csv,
    ".parquet": _write_parquet,
}


def _text(path: Path) -> TextIO:
    return path.open("w", encoding="utf-8", newline="")


def _iso(time: datetime) -> str:
    return time.isoformat()


def _cell(value: Any) -> Any:
    if isinstance(value, list):
        return ";".join(value)
    return _iso(value) if isinstance(value, datetime) else value


def _whole(path: Path, write: Callable[[Path], None]) -> None:
    """Have the file written under another name, and give it its own when it is whole."""
    part = path.with_name(f".{path.name[:100]}.part")
    part.unlink(missing_ok=True)
    # Made here and now, so that nothing else that has the name is written to.
    os.close(os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
    try:
        write(part)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _not_written(path: Path, error: OSError) -> IceyeError:
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return DiskFull(f"{path}: no space left on the disk; make room and save again", path=path)
    return UsageError(f"{path} cannot be written: {error.strerror or type(error).__name__}; choose another path")
