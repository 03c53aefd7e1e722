"""Which bytes are here: spans that are added up, the gaps between them, and what `Content-Range` says."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from iceye_async.protocol.ranges import added, are_spans, content_range, gaps, held, unsatisfied

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda pair: (min(pair), max(pair))), max_size=12
)


def together(spans):
    found = ()
    for span in spans:
        found = added(found, span)
    return found


@given(SPANS)
def test_spans_hold_the_bytes_that_were_added_and_no_others(spans):
    found = together(spans)

    assert {at for first, last in found for at in range(first, last)} == {
        at for first, last in spans for at in range(first, last)
    }
    assert held(found) == len({at for first, last in spans for at in range(first, last)})
    assert are_spans(found, 60)


@given(SPANS, st.integers(0, 60))
def test_gaps_are_what_is_missing(spans, size):
    found = tuple(span for span in together(spans) if span[1] <= size)

    missing = {at for first, last in gaps(found, size) for at in range(first, last)}

    assert missing == set(range(size)) - {at for first, last in found for at in range(first, last)}


@pytest.mark.parametrize(
    "value",
    [
        None,
        7,
        "ab",
        {"a": 1},
        [1, 2],
        [[1]],
        [[1, 2, 3]],
        [["0", "5"]],
        [[0.0, 5.0]],
        [[True, 5]],
        [[-1, 5]],
        [[5, 5]],
        [[5, 2]],
        [[0, 5], [5, 9]],
        [[6, 9], [0, 5]],
        [[0, 11]],
    ],
    ids=repr,
)
def test_what_are_no_spans_of_a_file_is_told(value):
    assert not are_spans(value, 10)


@pytest.mark.parametrize("value", [[], [[0, 10]], [[0, 3], [4, 10]], ((2, 5),)], ids=repr)
def test_what_are_spans_is_told(value):
    assert are_spans(value, 10)


def test_of_an_unknown_size_any_end_will_do():
    assert are_spans([[0, 10**15]], None)


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("bytes 0-0/1", ((0, 1), 1)),
        ("bytes 10-19/100", ((10, 20), 100)),
        (" bytes 10-19/* ", ((10, 20), None)),
        ("bytes 53687091199-53687091199/53687091200", ((53687091199, 53687091200), 53687091200)),
        ("", None),
        ("bytes", None),
        ("bytes 10-9/100", None),
        ("bytes 90-100/100", None),
        ("bytes */100", None),
        ("bytes 0-9", None),
        ("bytes 0-9/", None),
        ("bytes -9/100", None),
        ("bytes=0-9/100", None),
        ("items 0-9/100", None),
        ("bytes 0-9/100, 20-29/100", None),
        ("bytes 0-\u0669/100", None),
        ("bytes 0-99999999999999999999/*", None),
        ("bytes a-b/n", None),
    ],
)
def test_a_content_range_is_read_or_makes_no_sense(text, meant):
    assert content_range(text) == meant


@pytest.mark.parametrize(
    ("text", "size"), [("bytes */100", 100), ("bytes */0", 0), ("bytes */*", None), ("bytes */n", None), ("", None)]
)
def test_what_a_416_says_of_the_size(text, size):
    assert unsatisfied(text) == size


@pytest.mark.parametrize(
    ("spans", "missing"), [([(0, 5)], ((5, 10),)), ([(2, 10)], ((0, 2),)), ([(0, 10)], ()), ([], ((0, 10),))]
)
def test_a_file_may_lack_its_beginning_or_its_end_or_nothing(spans, missing):
    assert gaps(spans, 10) == missing
