"""A report as it is printed, and as it is shown in a notebook: its first tasks, one in a row."""

import re
from collections.abc import Mapping, Sequence

from ..display import markup
from ..display.text import duration, harmless, in_words
from .history import TaskRecord, error_of

SHOWN = 40
"""Tasks that are told of."""
_HEAD = ("task", "outcome", "derivatives", "files", "took", "requests", "what")
_NUMBERS = ("derivatives", "files", "took", "requests")
_SIGNS = {
    "completed": ("✓", markup.GREEN),
    "failed": ("✗", markup.RED),
    "waiting": ("○", markup.AMBER),
}
_LONGEST = 48
_LONGEST_WORDS = 70
_LONGEST_REASON = 200


def text(counts: Mapping[str, int], requests: int, entries: Sequence[TaskRecord]) -> str:
    """A line of counts, and a table."""
    total = sum(counts.values())
    told = ", ".join(f"{count:,} {word}" for word, count in counts.items())
    head = f"{_tasks(total)}: {told}; {_requests(requests)}"
    lines = [head, *_table(list(map(_cells, entries)))] if entries else [head]
    return "\n".join([*lines, f"... and {total - len(entries):,} more"] if total > len(entries) else lines)


def card(counts: Mapping[str, int], requests: int, entries: Sequence[TaskRecord], *, stopped: bool) -> str:
    """The same as HTML; `stopped` where tasks are waited for by nobody."""
    told = [markup.mark(*_SIGNS[word], f"{count:,} {word}") for word, count in counts.items() if count]
    if stopped:
        told.append(markup.mark("■", markup.AMBER, "stopped"))
    total = sum(counts.values())
    title = [f"<b>{_tasks(total)}</b>", *told, markup.faint(_requests(requests))]
    return markup.card(
        " &nbsp;".join(title), markup.table(_HEAD, list(map(_card_row, entries)), total=total, right=_NUMBERS)
    )


def unreadable(report: object) -> str:
    """What is shown where the journal is gone."""
    return markup.card(markup.said(repr(report)))


def _tasks(count: int) -> str:
    return f"{count:,} task{'' if count == 1 else 's'}"


def _cells(task: TaskRecord) -> tuple[str, ...]:
    took = "" if not task.end else duration(max(0.0, task.end["ended"] - task.end["began"]))
    asked = "" if not task.end else f"{task.end['requests']:,}"
    error = task.end.get("error")
    what = ", ".join(task.end.get("types", task.types)) if error is None else f"{error['class']}: {error['message']}"
    return (
        _short(task.id, _LONGEST),
        task.outcome or "waiting",
        f"{len(task.derivatives):,}",
        f"{len(task.files):,}",
        took,
        asked,
        _short(what, _LONGEST_WORDS),
    )


def _table(rows: list[tuple[str, ...]]) -> list[str]:
    widths = [max(len(row[column]) for row in [_HEAD, *rows]) for column in range(len(_HEAD))]
    return [
        "  ".join(
            cell.rjust(width) if name in _NUMBERS else cell.ljust(width)
            for name, cell, width in zip(_HEAD, row, widths, strict=True)
        ).rstrip()
        for row in [_HEAD, *rows]
    ]


def _requests(count: int) -> str:
    return f"{count:,} request{'' if count == 1 else 's'}"


def _card_row(task: TaskRecord) -> list[str]:
    """The same as HTML."""
    task_id, outcome, *told, what = _cells(task)
    if "error" in task.end:
        # Which task it is stands in the first column.
        reason = re.sub(rf"^task {re.escape(task.id)}:? (is )?", "", in_words(error_of(task)))
        what = f"{task.end['error']['class']}: {reason}"
    return [
        markup.code(task_id),
        markup.mark(*_SIGNS[outcome], outcome),
        *map(markup.said, told),
        markup.words(markup.said(what, _LONGEST_REASON)),
    ]


def _short(text: str, longest: int) -> str:
    text = harmless(text)
    return text if len(text) <= longest else f"{text[: longest - 3]}..."
