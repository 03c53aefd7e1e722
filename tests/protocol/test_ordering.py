"""An order as a value: what is refused, what is only warned about, and the JSON that is sent of it."""

import inspect
import json
import linecache
import pickle
import re
import uuid
import warnings
from datetime import UTC, date, datetime, timedelta, timezone, tzinfo

import attrs
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from iceye_async import BadRequest, DerivativeType, ImagingMode, ProductType, TaskRequest, UsageError

START = datetime(2026, 3, 1, tzinfo=UTC)
WINDOW = (START, START + timedelta(days=2))
DAY = timedelta(days=1)
NAN, INF = float("nan"), float("inf")
EXAMPLES = settings(max_examples=100, deadline=None)

SUPPORTED = {
    "SPOTLIGHT",
    "SPOTLIGHT_FINE",
    "SPOTLIGHT_FINE_1L",
    "SPOTLIGHT_EXTENDED_DWELL",
    "SPOTLIGHT_EXTENDED_DWELL_FINE",
}
"""The modes that the page "Task derivatives" lists."""


def plain(**changes):
    """The keywords of an order that nobody can object to."""
    return {
        "contract_id": "c1",
        "imaging_mode": "SPOTLIGHT",
        "point_of_interest": (60.19, 24.83),
        "acquisition_window": WINDOW,
        **changes,
    }


def everything():
    """The keywords of an order that says all that can be said."""
    return plain(
        product_types=["GRD", "SLC-COG"],
        derivative_product_types=["DC_VESSELS", "DC_AIRCRAFT"],
        reference="harbour, north",
        exclusivity="PRIVATE",
        priority="COMMERCIAL",
        sla="SLA_8H",
        incidence_angle=(20, 35),
        look_side="LEFT",
        pass_direction="ASCENDING",
        imaging_duration=10,
        eula="GOVERNMENT",
        notifications={"webhook": {"id": "w1"}},
        deliveries=[{"locations": [{"configID": "l1", "path": "in/box", "subPath": "today"}]}],
    )


def order(**changes):
    return TaskRequest(**plain(**changes))


def warned(**changes):
    """The warnings that such an order causes, as (category, text)."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        order(**changes)
    return [(warning.category, str(warning.message)) for warning in caught]


def categories(found):
    return [category for category, _ in found]


def refused(**changes):
    """What the refusal of such an order says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with pytest.raises(UsageError) as caught:
            order(**changes)
    return str(caught.value)


@pytest.fixture
def sent(connect, service):
    """Books such a task, and gives the JSON that went over the wire."""
    service.answers("/api/tasking/v2/tasks", (400, {}, b""))

    async def book(**keywords):
        with pytest.raises(BadRequest):
            await connect().tasks.create(**keywords)
        return json.loads(service.requests[-1].body)

    return book


# --- what is sent ----------------------------------------------------------------------------------------------


async def test_all_that_can_be_said_is_sent_in_the_words_of_the_service(sent):
    assert await sent(**everything()) == {
        "contractID": "c1",
        "imagingMode": "SPOTLIGHT",
        "pointOfInterest": {"lat": 60.19, "lon": 24.83},
        "acquisitionWindow": {"start": "2026-03-01T00:00:00Z", "end": "2026-03-03T00:00:00Z"},
        "productTypes": ["GRD", "SLC-COG"],
        "derivativeProductTypes": ["DC_VESSELS", "DC_AIRCRAFT"],
        "reference": "harbour, north",
        "exclusivity": "PRIVATE",
        "priority": "COMMERCIAL",
        "sla": "SLA_8H",
        "incidenceAngle": {"min": 20, "max": 35},
        "lookSide": "LEFT",
        "passDirection": "ASCENDING",
        "imagingDuration": 10,
        "eula": "GOVERNMENT",
        "notifications": {"webhook": {"id": "w1"}},
        "deliveries": [{"locations": [{"configID": "l1", "path": "in/box", "subPath": "today"}]}],
    }


async def test_what_was_left_out_is_not_sent(sent):
    """Neither as null: the service may refuse what it does not know, and fills in the contract's own defaults."""
    assert set(await sent(**plain())) == {"contractID", "imagingMode", "pointOfInterest", "acquisitionWindow"}


async def test_what_is_given_as_none_is_not_sent(sent):
    assert await sent(**{**dict.fromkeys(everything()), **plain()}) == await sent(**plain())


@pytest.mark.parametrize("name", sorted(set(everything()) - set(plain()) - {"derivative_product_types"}))
async def test_each_option_is_sent_alone(sent, name):
    """No option brings another with it."""
    value = {**everything(), "product_types": ["GRD-COG"]}[name]

    assert len(await sent(**plain(**{name: value}))) == 5


async def test_whole_degrees_and_seconds_stay_whole(sent):
    body = await sent(**plain(incidence_angle=(20, 35), imaging_duration=10))

    assert [type(body["imagingDuration"]), *map(type, body["incidenceAngle"].values())] == [int, int, int]


async def test_enums_are_sent_as_their_words(sent):
    body = await sent(
        **plain(
            imaging_mode=ImagingMode.SPOTLIGHT_FINE,
            product_types=[ProductType.GRD, ProductType.QLK],
            derivative_product_types=DerivativeType.VEHICLES,
        )
    )

    assert body["imagingMode"] == "SPOTLIGHT_FINE"
    assert body["productTypes"] == ["GRD", "QLK"]
    assert body["derivativeProductTypes"] == ["DC_VEHICLES"]


async def test_a_bare_string_is_one_type(sent):
    assert (await sent(**plain(product_types="GRD-COG")))["productTypes"] == ["GRD-COG"]


async def test_times_of_any_zone_are_sent_in_utc(sent):
    east = timezone(timedelta(hours=5, minutes=30))
    window = (datetime(2026, 3, 1, 5, 30, tzinfo=east), datetime(2026, 3, 2, 12, 0, 0, 250_000, tzinfo=east))

    body = await sent(**plain(acquisition_window=window))

    assert body["acquisitionWindow"] == {"start": "2026-03-01T00:00:00Z", "end": "2026-03-02T06:30:00.250000Z"}


async def test_what_only_the_contract_knows_is_sent_as_it_is(sent):
    words = {
        "imaging_mode": "TENANT_MODE",
        "product_types": ["TENANT_TYPE"],
        "exclusivity": "SHARED",
        "priority": "URGENT",
        "sla": "SLA_1H",
        "look_side": "BOTH",
        "pass_direction": "EITHER",
        "eula": "MULTI",
    }

    body = await sent(**plain(**words))

    assert [body["imagingMode"], body["productTypes"], body["exclusivity"], body["priority"]] == [
        "TENANT_MODE",
        ["TENANT_TYPE"],
        "SHARED",
        "URGENT",
    ]
    assert [body["sla"], body["lookSide"], body["passDirection"], body["eula"]] == [
        "SLA_1H",
        "BOTH",
        "EITHER",
        "MULTI",
    ]


async def test_a_reference_in_any_script_arrives(sent):
    assert (await sent(**plain(reference="satama 港 \u00e4\U0001f6a2")))["reference"] == "satama 港 ä🚢"


async def test_a_task_is_booked_with_the_keywords_of_the_value(connect):
    """So that a request that was found feasible can be booked as it stands."""
    value = inspect.signature(TaskRequest).parameters.values()
    call = inspect.signature(connect().tasks.create).parameters.values()

    assert [(each.name, each.default) for each in call] == [(each.name, each.default) for each in value]
    assert {each.kind for each in (*value, *call)} == {inspect.Parameter.KEYWORD_ONLY}
    assert {each.name for each in value} == set(everything())


# --- a value ---------------------------------------------------------------------------------------------------


def test_a_request_says_what_was_asked_for():
    found = TaskRequest(**everything())

    assert (found.contract_id, found.imaging_mode) == ("c1", ImagingMode.SPOTLIGHT)
    assert tuple(found.point_of_interest) == (60.19, 24.83)
    assert tuple(found.acquisition_window) == WINDOW
    assert tuple(found.product_types) == ("GRD", "SLC-COG")
    assert tuple(found.derivative_product_types) == ("DC_VESSELS", "DC_AIRCRAFT")
    assert (found.reference, found.exclusivity, found.priority) == ("harbour, north", "PRIVATE", "COMMERCIAL")
    assert (found.sla, found.eula) == ("SLA_8H", "GOVERNMENT")
    assert (found.look_side, found.pass_direction, found.imaging_duration) == ("LEFT", "ASCENDING", 10)
    assert tuple(found.incidence_angle) == (20, 35)


@pytest.mark.parametrize("keywords", [plain(), everything()], ids=["plain", "everything"])
def test_requests_for_the_same_are_equal(keywords):
    assert TaskRequest(**keywords) == TaskRequest(**keywords)


@pytest.mark.parametrize(
    "change",
    [
        {"product_types": ["GRD-COG"]},
        {"product_types": ("GRD-COG",)},
        {"product_types": iter(["GRD-COG"])},
        {"product_types": ProductType.GRD_COG},
        {"imaging_mode": ImagingMode.SPOTLIGHT},
        {"point_of_interest": [60.19, 24.83]},
        {"acquisition_window": list(WINDOW)},
        {"acquisition_window": tuple(time.astimezone(timezone(timedelta(hours=-7))) for time in WINDOW)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_requests_for_the_same_in_other_words_are_equal(change):
    assert order(**{"product_types": "GRD-COG", **change}) == order(product_types="GRD-COG")


@pytest.mark.parametrize("name", sorted(everything()))
def test_requests_that_differ_in_anything_are_not_equal(name):
    other = {
        "contract_id": "c2",
        "imaging_mode": "SPOTLIGHT_FINE",
        "point_of_interest": (60.19, 24.84),
        "acquisition_window": (WINDOW[0], WINDOW[1] + DAY),
        "product_types": ["GRD"],
        "derivative_product_types": ["DC_VESSELS"],
        "incidence_angle": (20, 36),
        "imaging_duration": 11,
        "notifications": {"webhook": {"id": "w2"}},
        "deliveries": [{"locations": [{"configID": "l2", "path": "in/box"}]}],
    }.get(name, "OTHER")

    assert TaskRequest(**{**everything(), name: other}) != TaskRequest(**everything())


@pytest.mark.parametrize("keywords", [plain(), everything()], ids=["plain", "everything"])
def test_a_request_survives_pickle(keywords):
    request = TaskRequest(**keywords)

    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own bytes


def test_a_request_that_was_warned_about_is_unpickled_in_silence():
    """Whoever wrote it was told."""
    with pytest.warns(UserWarning, match="imaging_duration"):
        request = order(imaging_duration=200)

    assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own bytes


@pytest.mark.parametrize("name", sorted(everything()))
def test_a_request_cannot_be_changed(name):
    request = TaskRequest(**everything())

    with pytest.raises(AttributeError):
        setattr(request, name, "another")


def test_a_list_that_is_changed_afterwards_changes_no_request():
    types = ["GRD-COG"]
    request = order(product_types=types)
    types.append("QLK")

    assert request == order(product_types=["GRD-COG"])


def test_evolved_with_nothing_a_request_is_the_same():
    request = TaskRequest(**everything())

    assert attrs.evolve(request) == request


def test_evolved_a_request_is_one_for_something_else():
    assert attrs.evolve(TaskRequest(**everything()), reference="r2") == TaskRequest(
        **{**everything(), "reference": "r2"}
    )


def test_what_would_be_refused_is_refused_of_an_evolved_request_too():
    with pytest.raises(UsageError, match="reference"):
        attrs.evolve(order(), reference="x" * 257)


# --- refused: words --------------------------------------------------------------------------------------------

WORDS = [
    "contract_id",
    "imaging_mode",
    "reference",
    "exclusivity",
    "priority",
    "sla",
    "look_side",
    "pass_direction",
    "eula",
]


@pytest.mark.parametrize("name", WORDS)
@pytest.mark.parametrize(
    "wrong", ["", " ", "\t\n", 5, 1.5, True, b"x", [], ["x"], {}, uuid.UUID(int=1), object], ids=repr
)
def test_a_word_that_is_none_is_refused_by_name(name, wrong):
    assert name in refused(**{name: wrong})


@pytest.mark.parametrize("name", ["contract_id", "imaging_mode", "point_of_interest", "acquisition_window"])
def test_what_every_order_needs_cannot_be_none(name):
    assert name in refused(**{name: None})


def test_a_reference_has_256_characters_at_most():
    assert order(reference="ä" * 256).reference == "ä" * 256

    message = refused(reference="x" * 257)

    assert "reference" in message
    assert "256" in message


def test_a_refusal_does_not_repeat_a_reference_of_a_million_characters():
    assert len(refused(reference="x" * 1_000_000)) < 1000


# --- refused: place and time -----------------------------------------------------------------------------------


@pytest.mark.parametrize("point", [(90, 180), (-90, -180), (0, 0), [60, 24], (90.0, -180.0)], ids=str)
def test_a_place_on_the_globe_is_taken(point):
    assert tuple(order(point_of_interest=point).point_of_interest) == tuple(point)


@pytest.mark.parametrize(
    "point",
    [(91, 0), (-90.1, 0), (0, 181), (0, -180.5), (NAN, 0), (0, NAN), (INF, 0), (0, -INF), (10**400, 0)],
    ids=lambda point: str(point)[:20],
)
def test_a_place_off_the_globe_is_refused(point):
    message = refused(point_of_interest=point)

    assert "point_of_interest" in message
    assert "globe" in message


@pytest.mark.parametrize(
    "point", [5, (), (1,), (1, 2, 3), ("60", "24"), (None, 1), "60,24", "60", (True, 1), (1, False), {}], ids=repr
)
def test_what_is_no_place_is_refused(point):
    assert "point_of_interest" in refused(point_of_interest=point)


@pytest.mark.parametrize("place", [0, 1])
def test_a_time_without_a_zone_is_refused(place):
    window = [*WINDOW]
    window[place] = window[place].replace(tzinfo=None)

    message = refused(acquisition_window=tuple(window))

    assert "acquisition_window" in message
    assert "zone" in message


@pytest.mark.parametrize("window", [WINDOW[::-1], (START, START)], ids=["reversed", "empty"])
def test_a_window_that_ends_before_it_begins_is_refused(window):
    message = refused(acquisition_window=window)

    assert "acquisition_window" in message
    assert "before" in message


@pytest.mark.parametrize(
    "window",
    [
        5,
        "2026-03-01/2026-03-03",
        (),
        WINDOW[:1],
        (*WINDOW, WINDOW[1]),
        ("2026-03-01T00:00:00Z", "2026-03-03T00:00:00Z"),
        (None, None),
        (date(2026, 3, 1), date(2026, 3, 3)),
        (START, DAY),
        (datetime.min.replace(tzinfo=timezone(timedelta(hours=1))), START),
        (START, datetime.max.replace(tzinfo=timezone(timedelta(hours=-1)))),
    ],
    ids=lambda window: str(window)[:40],
)
def test_what_is_no_window_is_refused(window):
    assert "acquisition_window" in refused(acquisition_window=window)


def test_no_window_is_judged_by_the_clock():
    """Whether it is too late is the service's to say: its clock counts."""
    long_ago = datetime(1999, 1, 1, tzinfo=UTC)

    assert warned(acquisition_window=(long_ago, long_ago + DAY)) == []
    assert warned(acquisition_window=(datetime(2999, 1, 1, tzinfo=UTC), datetime(3000, 1, 1, tzinfo=UTC))) == []


# --- refused: types --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["product_types", "derivative_product_types"])
@pytest.mark.parametrize("wrong", [[], (), set(), {}, iter([])], ids=["list", "tuple", "set", "dict", "iterator"])
def test_an_empty_collection_of_types_is_refused(name, wrong):
    message = refused(**{"product_types": "GRD", name: wrong})

    assert name in message
    assert "empty" in message


@pytest.mark.parametrize("name", ["product_types", "derivative_product_types"])
@pytest.mark.parametrize("wrong", [5, True, b"GRD", [5], [None], [[]], ["GRD", 5], "", [""], ["GRD", " "]], ids=repr)
def test_what_is_no_type_is_refused(name, wrong):
    assert name in refused(**{"product_types": "GRD", name: wrong})


# --- refused: angles and durations -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("angles", "reason"),
    [
        ((35, 20), "min|smaller|above|larger|greater|order|before"),
        ((-1, 20), "90"),
        ((20, 91), "90"),
        ((20, 10**400), "90"),
        ((20.5, 30), "whole"),
        ((20, 30.5), "whole"),
        ((NAN, 30), "whole"),
        ((20, INF), "whole"),
        (("20", "30"), "whole"),
        ((True, 30), "whole"),
        ((None, 30), "whole"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_angles_that_cannot_be_are_refused_with_the_reason(angles, reason):
    message = refused(incidence_angle=angles)

    assert "incidence_angle" in message
    assert any(word in message for word in reason.split("|"))


@pytest.mark.parametrize("angles", [5, 20.0, "20", "ab", (), (20,), (20, 30, 40), {}, True], ids=repr)
def test_what_are_not_two_angles_is_refused(angles):
    assert "incidence_angle" in refused(incidence_angle=angles)


@pytest.mark.parametrize("seconds", [0, -1, 1.5, NAN, INF, "10", True, [10], b"1"], ids=repr)
def test_a_duration_that_cannot_be_is_refused(seconds):
    message = refused(imaging_duration=seconds)

    assert "imaging_duration" in message
    assert "whole" in message


# --- refused: derivatives that can never come ------------------------------------------------------------------


@pytest.mark.parametrize("mode", sorted(SUPPORTED))
def test_derivatives_are_made_in_five_modes(mode):
    assert warned(imaging_mode=mode, product_types="GRD", derivative_product_types="DC_VESSELS") == []


@pytest.mark.parametrize("mode", [mode for mode in ImagingMode if mode not in SUPPORTED])
def test_derivatives_of_another_documented_mode_are_refused_and_the_five_are_named(mode):
    message = refused(imaging_mode=mode, product_types="GRD", derivative_product_types="DC_VESSELS")

    assert "imaging_mode" in message
    assert "derivative" in message
    assert {mode, *SUPPORTED} <= set(re.findall(r"\w+", message))


def test_a_mode_in_its_plain_word_is_refused_like_its_enum():
    words = {"product_types": "GRD", "derivative_product_types": "DC_VESSELS"}

    assert refused(imaging_mode="STRIPMAP", **words) == refused(imaging_mode=ImagingMode.STRIPMAP, **words)


def test_derivatives_of_a_mode_that_only_the_contract_knows_are_taken():
    assert warned(imaging_mode="TENANT", product_types="GRD", derivative_product_types="DC_VESSELS") == []


def test_a_derivative_type_that_is_not_documented_is_taken():
    assert warned(product_types="GRD", derivative_product_types="DC_SUBMARINES") == []


@pytest.mark.parametrize("types", [None, "GRD-COG", ["GRD-COG", "SLC-COG"], ["QLK"], ["grd"]], ids=str)
def test_derivatives_without_grd_in_so_many_words_are_refused(types):
    message = refused(product_types=types, derivative_product_types="DC_VESSELS")

    assert "product_types" in message
    assert "GRD" in message


def test_derivatives_of_an_unknown_mode_need_grd_as_well():
    assert "GRD" in refused(imaging_mode="TENANT", derivative_product_types="DC_VESSELS")


# --- warned about ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", [*sorted(SUPPORTED), "STRIPMAP", "TENANT"])
@pytest.mark.parametrize("types", [None, ["GRD-COG"], ["GRD-COG", "SLC-COG", "QLK"], ["SICD", "SIDD"]], ids=str)
def test_a_good_request_is_made_in_silence(mode, types):
    assert warned(imaging_mode=mode, product_types=types) == []


@pytest.mark.parametrize("mode", list(ImagingMode))
def test_a_request_without_types_is_made_in_silence_in_every_mode(mode):
    assert warned(imaging_mode=mode) == []


def test_a_request_that_says_all_there_is_to_say_is_made_in_silence():
    """GRD is not warned about where derivatives need it."""
    assert warned(**everything()) == []


@pytest.mark.parametrize("length", [timedelta(hours=2), DAY - timedelta(microseconds=1)], ids=str)
def test_a_window_of_less_than_a_day_is_warned_about(length):
    ((category, text),) = warned(acquisition_window=(START, START + length))

    assert category is UserWarning
    assert "acquisition_window" in text
    assert "24" in text


def test_a_window_of_a_day_is_not_warned_about():
    assert warned(acquisition_window=(START, START + DAY)) == []


class Shifting(tzinfo):
    """A zone whose clocks go from `before` to `after` hours at noon of 1 March, as wall clocks show it."""

    def __init__(self, before, after):
        self.before, self.after = timedelta(hours=before), timedelta(hours=after)

    def utcoffset(self, moment):
        late = moment.replace(tzinfo=None) >= datetime(2026, 3, 1, 12)  # noqa: DTZ001 - as the wall shows it
        return self.after if late else self.before

    def dst(self, _):
        return timedelta(0)

    def tzname(self, _):
        return "shifting"


@pytest.mark.parametrize(("before", "after", "expected"), [(0, 1, [UserWarning]), (1, 0, [])], ids=["spring", "autumn"])
def test_a_day_has_24_hours_and_not_a_turn_of_the_wall_clock(before, after, expected):
    zone = Shifting(before, after)
    hours = 24 if after > before else 23
    start = datetime(2026, 3, 1, 6, tzinfo=zone)

    assert categories(warned(acquisition_window=(start, start + timedelta(hours=hours)))) == expected


def test_a_window_in_the_hour_that_comes_twice_is_one():
    """By the wall clock it ends when it begins."""

    class Twice(Shifting):
        def utcoffset(self, moment):
            return self.after if moment.fold else self.before

    zone = Twice(3, 2)
    start = datetime(2026, 10, 25, 3, 30, tzinfo=zone)

    assert categories(warned(acquisition_window=(start, start.replace(fold=1)))) == [UserWarning]


@pytest.mark.parametrize("angles", [(9, 30), (0, 5), (20, 46), (5, 90), (0, 90)], ids=str)
def test_angles_that_sources_disagree_about_are_warned_about(angles):
    ((category, text),) = warned(incidence_angle=angles)

    assert category is UserWarning
    assert "incidence_angle" in text
    assert "10" in text
    assert "45" in text


@pytest.mark.parametrize("angles", [(10, 45), (10, 10), (45, 45), [20, 35]], ids=str)
def test_angles_that_all_sources_have_are_not_warned_about(angles):
    assert warned(incidence_angle=angles) == []


@pytest.mark.parametrize("seconds", [181, 10_000])
def test_a_long_duration_is_warned_about(seconds):
    ((category, text),) = warned(imaging_duration=seconds)

    assert category is UserWarning
    assert "imaging_duration" in text
    assert "180" in text


@pytest.mark.parametrize("seconds", [1, 180])
def test_a_duration_that_is_documented_is_not_warned_about(seconds):
    assert warned(imaging_duration=seconds) == []


@pytest.mark.parametrize(
    ("mode", "kind"), [("SCAN", "SLC-COG"), ("SCAN", "SICD"), ("SCAN", "SIDD"), (ImagingMode.SCAN, ProductType.SLC_COG)]
)
def test_a_type_that_the_table_does_not_have_for_the_mode_is_warned_about(mode, kind):
    ((category, text),) = warned(imaging_mode=mode, product_types=["GRD-COG", kind])

    assert category is UserWarning
    assert f"{kind}" in text
    assert "SCAN" in text


@pytest.mark.parametrize(("mode", "kind"), [("SCAN", "SLC"), ("STRIPMAP", "CSI"), ("SPOTLIGHT", "VID")])
def test_a_type_may_be_outside_the_table_and_be_phased_out_as_well(mode, kind):
    assert sorted(map(str, categories(warned(imaging_mode=mode, product_types=kind)))) == sorted(
        map(str, [UserWarning, FutureWarning])
    )


@pytest.mark.parametrize(
    ("mode", "types"),
    [
        ("SCAN", ["GRD-COG", "QLK"]),
        ("SCAN", ["TENANT_TYPE"]),
        ("TENANT", ["SLC-COG", "SICD", "TENANT_TYPE"]),
        ("STRIPMAP", ["SLC-COG", "SICD", "SIDD", "QLK"]),
        ("SPOTLIGHT_EXTENDED_AREA", ["SLC-COG", "SIDD"]),
        ("SPOTLIGHT_EXTENDED_DWELL", ["SLC-COG", "QLK", "SICD"]),
        ("SPOTLIGHT_EXTENDED_DWELL_FINE", ["SLC-COG", "QLK", "SIDD"]),
    ],
)
def test_a_type_that_the_table_has_or_that_nobody_documented_is_not_warned_about(mode, types):
    assert warned(imaging_mode=mode, product_types=types) == []


@pytest.mark.parametrize("kind", ["GRD", "SLC", "CSI", "VID", ProductType.GRD])
def test_a_type_that_is_phased_out_is_warned_about_and_the_other_form_named(kind):
    ((category, text),) = warned(imaging_mode="SPOTLIGHT_EXTENDED_DWELL", product_types=kind)

    assert category is FutureWarning
    assert f"{kind}-COG" in text


def test_several_types_that_are_phased_out_are_all_named():
    found = warned(imaging_mode="SPOTLIGHT_EXTENDED_DWELL", product_types=["GRD", "SLC", "CSI", "VID"])

    assert set(categories(found)) == {FutureWarning}
    text = " ".join(text for _, text in found)
    assert all(f"{kind}-COG" in text for kind in ("GRD", "SLC", "CSI", "VID"))


@pytest.mark.parametrize("kind", ["GRD-COG", "SLC-COG", "QLK", "SICD", "TENANT_TYPE"])
def test_a_type_that_stays_is_not_warned_about(kind):
    assert warned(imaging_mode="SPOTLIGHT_EXTENDED_DWELL", product_types=kind) == []


def test_beside_derivatives_only_grd_is_spared():
    ((category, text),) = warned(product_types=["GRD", "SLC"], derivative_product_types="DC_VESSELS")

    assert category is FutureWarning
    assert "SLC-COG" in text
    assert "GRD" not in text


def test_each_thing_is_warned_about_once():
    found = warned(
        imaging_mode="SCAN",
        product_types=["GRD-COG", "SLC-COG"],
        acquisition_window=(START, START + timedelta(hours=2)),
        incidence_angle=(5, 50),
        imaging_duration=200,
    )

    assert categories(found) == [UserWarning] * 4
    for name in ("SLC-COG", "acquisition_window", "incidence_angle", "imaging_duration"):
        assert sum(name in text for _, text in found) == 1


# --- where a warning points ------------------------------------------------------------------------------------

CONTESTED = {
    "window": plain(acquisition_window=(START, START + timedelta(hours=2))),
    "angles": plain(incidence_angle=(5, 50)),
    "duration": plain(imaging_duration=200),
    "table": plain(imaging_mode="SCAN", product_types="SLC-COG"),
    "phased out": plain(product_types="GRD"),
}


def pointed(caught):
    """The lines at which warnings point."""
    return [linecache.getline(warning.filename, warning.lineno).strip() for warning in caught]


@pytest.mark.parametrize("keywords", CONTESTED.values(), ids=CONTESTED)
def test_a_warning_points_at_the_line_where_the_request_is_made(keywords):
    with pytest.warns((UserWarning, FutureWarning)) as caught:
        TaskRequest(**keywords)  # here

    assert pointed(caught) == ["TaskRequest(**keywords)  # here"]


@pytest.mark.parametrize("keywords", CONTESTED.values(), ids=CONTESTED)
async def test_a_warning_points_at_the_line_where_the_task_is_booked(connect, service, keywords):
    service.answers("/api/tasking/v2/tasks", (400, {}, b""))
    tasks = connect().tasks

    with pytest.warns((UserWarning, FutureWarning)) as caught, pytest.raises(BadRequest):
        await tasks.create(**keywords)  # here

    assert pointed(caught) == ["await tasks.create(**keywords)  # here"]


@pytest.mark.parametrize("keywords", CONTESTED.values(), ids=CONTESTED)
async def test_whoever_makes_warnings_errors_books_nothing(connect, service, keywords):
    with pytest.raises((UserWarning, FutureWarning)):
        await connect().tasks.create(**keywords)

    assert not service.requests


# --- what cannot be sent ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "change",
    [
        {"notifications": {"webhook": {"id": uuid.UUID(int=1)}}},
        {"notifications": {"webhook": {"id": object()}}},
        {"notifications": {"webhook": {("a", 1): 1}}},
        {"deliveries": [{"locations": [{"configID": uuid.UUID(int=1), "path": "x"}]}]},
        {"deliveries": [{"locations": {"a", "b"}}]},
        {"deliveries": [{"locations": [b"x"]}]},
    ],
    ids=["uuid", "object", "key", "uuid in a list", "set", "bytes"],
)
async def test_what_json_cannot_hold_is_refused_before_anything_is_sent(connect, service, change):
    with pytest.raises(UsageError, match=next(iter(change))):
        await connect().tasks.create(**plain(**change))

    assert not service.requests


# --- whatever comes --------------------------------------------------------------------------------------------

anything = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(),
    st.text(max_size=5),
    st.binary(max_size=3),
    st.lists(st.one_of(st.none(), st.integers(-1, 100), st.floats(), st.text(max_size=3)), max_size=3),
    st.tuples(st.integers(-5, 95), st.integers(-5, 95)),
    st.sampled_from([*ImagingMode, *ProductType, *DerivativeType, START, WINDOW, 10**400, object, iter("ab")]),
)


@EXAMPLES
@given(st.dictionaries(st.sampled_from(sorted(set(everything()) - {"notifications", "deliveries"})), anything))
def test_whatever_is_given_is_a_request_or_a_usage_error(changes):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            request = order(**changes)
        except UsageError:
            return
        assert pickle.loads(pickle.dumps(request)) == request  # noqa: S301 - our own bytes
        assert attrs.evolve(request) == request


@EXAMPLES
@given(st.floats(-90, 90), st.floats(-180, 180))
def test_every_place_on_the_globe_is_kept_to_the_last_digit(lat, lon):
    assert tuple(order(point_of_interest=(lat, lon)).point_of_interest) == (lat, lon)


@EXAMPLES
@given(st.integers(-10, 100), st.integers(-10, 100))
def test_angles_are_refused_warned_about_or_taken(low, high):
    """One of the three, by the numbers alone."""
    if not 0 <= low <= high <= 90:
        assert "incidence_angle" in refused(incidence_angle=(low, high))
    elif not 10 <= low <= high <= 45:
        assert categories(warned(incidence_angle=(low, high))) == [UserWarning]
    else:
        assert warned(incidence_angle=(low, high)) == []


@EXAMPLES
@given(
    st.sampled_from([*ImagingMode, "TENANT"]),
    st.sets(st.sampled_from([*ProductType, "TENANT_TYPE"])),
    st.sets(st.sampled_from([*DerivativeType, "DC_NEW"])),
)
def test_derivatives_are_taken_with_a_mode_that_may_make_them_and_with_grd(mode, types, derivatives):
    changes = {
        "imaging_mode": mode,
        "product_types": types or None,
        "derivative_product_types": derivatives or None,
    }
    if derivatives and (mode not in {*SUPPORTED, "TENANT"} or "GRD" not in types):
        refused(**changes)
        return
    phased_out = {"GRD", "SLC", "CSI", "VID"} & types - ({"GRD"} if derivatives else set())
    assert (FutureWarning in categories(warned(**changes))) is bool(phased_out)


@pytest.mark.parametrize("wrong", [5, "x", [], [("webhook", 1)]], ids=str)
def test_notifications_of_another_form_are_refused(wrong):
    with pytest.raises(UsageError, match="notifications is a dict"):
        TaskRequest(**plain(), notifications=wrong)


@pytest.mark.parametrize("wrong", [5, "x", [], {"locations": []}, [5]], ids=str)
def test_deliveries_of_another_form_are_refused(wrong):
    with pytest.raises(UsageError, match="deliveries is a list of dicts"):
        TaskRequest(**plain(), deliveries=wrong)


@pytest.mark.parametrize(
    ("changes", "spelling"),
    [
        ({"imaging_mode": "stripmap"}, "STRIPMAP"),
        ({"product_types": ["grd-cog"]}, "GRD-COG"),
        ({"product_types": ["GRD"], "derivative_product_types": ["dc_vessels"]}, "DC_VESSELS"),
    ],
)
def test_a_word_that_differs_from_a_documented_one_in_nothing_but_case_is_warned_about(changes, spelling):
    """It is sent as it is: to the service it may be another word."""
    with pytest.warns(UserWarning, match=f"the documented spelling is '{spelling}'"):
        TaskRequest(**{**plain(), **changes})


@pytest.mark.parametrize("point", [{51.95, 4.05}, frozenset({1, 2})], ids=["set", "frozenset"])
def test_a_point_without_an_order_is_refused(point):
    with pytest.raises(UsageError, match="point_of_interest is"):
        TaskRequest(**plain(point_of_interest=point))
