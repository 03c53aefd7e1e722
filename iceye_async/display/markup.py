"""HTML for the output of a notebook's cell: cards with facts and tables.

A saved notebook is opened by whoever gets it, in a light page or a dark one. So there is no script, nothing from
elsewhere, no style that reaches beyond the card, and no colour that needs a background: text has the colour of the
page, lines are of a grey that shows on both. Whatever came from outside goes through `said()`.
"""

from collections.abc import Collection, Iterable, Sequence
from html import escape

from ..protocol.links import clean

MOST = 40
"""Rows of a table."""
GREEN, AMBER, RED, BLUE = "#2da160", "#c77c11", "#e0483e", "#3b82d6"
"""Of marks, which are large and never alone in what they tell."""

_LONGEST = 120
_LINE = "1px solid rgba(128,128,128,.35)"
_CARD = (
    f"border:{_LINE};border-radius:6px;padding:8px 12px;margin:4px 0;width:fit-content;max-width:100%;"
    "box-sizing:border-box;overflow-x:auto;font-size:13px;line-height:1.45;color:inherit"
)
_CODE = "color:inherit;background:none;padding:0;font-size:12px;white-space:nowrap"
_TABLE = "border-collapse:collapse;margin:4px 0;border:0;color:inherit;font-size:inherit;table-layout:auto"
_CELL = "border:0;padding:1px 12px 1px 0;text-align:{};vertical-align:top;background:none"
_NUMBER = "right;white-space:nowrap"


def said(text: object, longest: int = _LONGEST) -> str:
    """Text from outside as it may stand in HTML: one line, no markup, no signed link, not endless."""
    return escape(clean(str(text), longest))


def code(text: object) -> str:
    """An id or a name, to be copied."""
    return f'<code style="{_CODE}">{said(text)}</code>'


def faint(markup: str) -> str:
    return f'<span style="opacity:.7">{markup}</span>' if markup else ""


def words(markup: str) -> str:
    """What may take several lines, which are not too short to be read."""
    return f'<div style="min-width:140px">{markup}</div>'


def mark(sign: str, colour: str, markup: str) -> str:
    """A sign in a colour, and what it says."""
    return f'<span style="white-space:nowrap"><b style="color:{colour}">{sign}</b> {markup}</span>'


def card(title: str, *parts: str) -> str:
    """A box with a title."""
    return f'<div style="{_CARD}"><div style="font-size:14px;margin-bottom:2px">{title}</div>{"".join(parts)}</div>'


def beside(*parts: str) -> str:
    """Next to each other, where there is room."""
    inside = "".join(f"<div>{part}</div>" for part in parts if part)
    return f'<div style="display:flex;flex-wrap:wrap;gap:4px 24px;align-items:flex-start">{inside}</div>'


def facts(pairs: Iterable[tuple[str, str]]) -> str:
    """A row for each name and what is known of it; without those of which nothing is."""
    return _table(_row([faint(name), value]) for name, value in pairs if value)


def table(
    head: Sequence[str], rows: Sequence[Sequence[str]], *, total: int | None = None, right: Collection[str] = ()
) -> str:
    """Columns, as many rows as are readable; `total` is how many there are, where these are not all.

    `head` has their names, or nothing where none needs one. The columns whose names are in `right` hold numbers.
    """
    if not rows:
        return ""
    aligned = [_NUMBER if name in right else "left" for name in head] or None
    shown = rows[:MOST]
    more = (len(rows) if total is None else total) - len(shown)
    heads = [_row(map(faint, head), aligned, tag="th")] if head else []
    body = _table([*heads, *(_row(row, aligned) for row in shown)])
    return body + (faint(f"and {more:,} more") if more > 0 else "")


def _table(rows: Iterable[str]) -> str:
    body = "".join(rows)
    return f'<table style="{_TABLE}">{body}</table>' if body else ""


def _row(cells: Iterable[str], aligned: Sequence[str] | None = None, *, tag: str = "td") -> str:
    told = list(cells)
    styles = map(_CELL.format, aligned or ["left"] * len(told))
    weight = ";font-weight:normal" if tag == "th" else ""
    inside = "".join(f'<{tag} style="{style}{weight}">{cell}</{tag}>' for style, cell in zip(styles, told, strict=True))
    return f'<tr style="background:none">{inside}</tr>'
