"""Signed links: how they are shown, which are never fetched, and the names of what they lead to."""

import re
import string

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from iceye_async.protocol.links import (
    disposition,
    expiry,
    file_name,
    is_local,
    mask,
    mask_text,
    mask_within,
    object_of,
    refusal,
    safe_name,
)

LINK = "https://d1.cloudfront.net/abc/vessels.geojson?Expires=1&Signature=s3cret"
EXAMPLES = settings(max_examples=200, deadline=None)

# --- how they are shown ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "shown"),
    [
        (LINK, "https://d1.cloudfront.net/abc/vessels.geojson?..."),
        ("https://d1.cloudfront.net/abc", "https://d1.cloudfront.net/abc"),
        ("https://d1.cloudfront.net/abc#s3cret", "https://d1.cloudfront.net/abc"),
        ("https://me:s3cret@d1.cloudfront.net:8443/abc", "https://d1.cloudfront.net/abc"),
        ("HTTPS://D1.cloudfront.net/abc?s3cret", "https://d1.cloudfront.net/abc?..."),
        ("http://127.0.0.1:80/a?s3cret", "http://127.0.0.1/a?..."),
        ("https://d1.cloudfront.net?s3cret", "https://d1.cloudfront.net?..."),
        ("", "''"),
        ("relative/path?s3cret", "<relative link>"),
        ("//d1.cloudfront.net/a?s3cret", "<relative link>"),
        ("file:///etc/s3cret", "<file link>"),
        ("data:text/plain,s3cret", "<data link>"),
        ("s3://bucket/s3cret", "<s3 link>"),
        ("https:///a?s3cret", "<https link>"),
        ("https://[::1/a?s3cret", "<unreadable link>"),
        ("averylongschemeindeed:s3cret", "<averylon link>"),
    ],
)
def test_a_link_is_shown_without_what_makes_it_a_secret(href, shown):
    assert mask(href) == shown


@EXAMPLES
@given(st.text(max_size=30), st.text(max_size=30))
def test_no_query_fragment_or_user_information_is_ever_shown(before, after):
    assume("SECRET" not in before + after)
    for href in (f"https://h.example/{before}?SECRET{after}", f"https://h.example/{before}#SECRET{after}"):
        assert "SECRET" not in mask(href)
    assert "SECRET" not in mask(f"https://SECRET:SECRET@h.example/{after}")


@EXAMPLES
@given(st.text())
def test_any_text_can_be_shown(text):
    assert isinstance(mask(text), str)
    assert isinstance(mask_text(text), str)
    assert isinstance(file_name(text), str)


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("no link at all", "no link at all"),
        (f"see {LINK} for", "see https://d1.cloudfront.net/abc/vessels.geojson?... for"),
        (f"<{LINK}>", "<https://d1.cloudfront.net/abc/vessels.geojson?...>"),
        (f'"{LINK}"', '"https://d1.cloudfront.net/abc/vessels.geojson?..."'),
        (f"{LINK}\n{LINK}", "https://d1.cloudfront.net/abc/vessels.geojson?...\n" * 2),
        ("HTTP://h.example/a?s3cret", "http://h.example/a?..."),
    ],
)
def test_every_link_in_a_text_is_masked(text, shown):
    assert mask_text(text) == shown.rstrip("\n")


@pytest.mark.parametrize("before", ["", " ", "(", "=", "'", ",", ";", "url:", "\x00", "\\n", "x", "_", "1", "ä"])
def test_a_link_is_masked_whatever_stands_beside_it(before):
    for after in ("", " ", ")", "'", ".", "&x=s3cret", "\x00s3cret"):
        assert "s3cret" not in mask_text(f"{before}{LINK}{after}")


def test_a_quote_in_its_path_does_not_end_a_link():
    assert "s3cret" not in mask_text("https://h.example/o'brien.tif?Signature=s3cret")


# --- which are never fetched -----------------------------------------------------------------------------------


def why(href, *, local=False):
    return refusal(href, local=local)


def test_a_signed_https_link_may_be_fetched():
    assert why(LINK) is None
    assert why("https://d1.cloudfront.net:443/a") is None
    assert why("HTTPS://d1.cloudfront.net/a") is None
    assert why("https://xn--bcher-kva.example/a") is None
    assert why("https://host.xn--p1ai/a") is None
    assert why("https://d1.cloudfront.net./a") is None
    assert why("https://93.184.216.34/a") is None
    assert why("https://[2606:2800:220:1:248:1893:25c8:1946]/a") is None


def test_every_character_of_a_url_and_sixteen_kilobytes_are_taken():
    assert why("https://d1.cloudfront.net/!~*'();:@&=+$,/?#[]%20") is None
    longest = "https://d1.cloudfront.net/".ljust(16_384, "a")
    assert why(longest) is None
    assert why(f"{longest}a") == "the link is longer than 16 KiB"


def test_http_is_refused_unless_the_api_itself_is_local():
    assert why("http://d1.cloudfront.net/a") == "the link is http, not https"
    assert why("http://127.0.0.1:8080/a", local=True) is None
    assert why("https://localhost/a", local=True) is None


BAD_ANYWHERE = [
    "",
    " ",
    "relative",
    "/absolute/path",
    "//d1.cloudfront.net/a",
    "file:///etc/passwd",
    "file://d1.cloudfront.net/a",
    "ftp://d1.cloudfront.net/a",
    "data:text/plain,x",
    "javascript:alert(1)",
    "s3://bucket/key",
    "https:",
    "https://",
    "https:///a",
    "https://:443/a",
    "https:d1.cloudfront.net/a",
    "https://me@d1.cloudfront.net/a",
    "https://me:pw@d1.cloudfront.net/a",
    "https://@d1.cloudfront.net/a",
    "https://:@d1.cloudfront.net/a",
    "https://d1.cloudfront.net\\@127.0.0.1/a",
    "https://d1.cloudfront.net:99999/a",
    "https://d1.cloudfront.net:-1/a",
    "https://d1.cloudfront.net:x/a",
    "https://[::1/a",
    "https://[d1]/a",
    " https://d1.cloudfront.net/a",
    "https://d1.cloudfront.net/a b",
    "https://d1.cloudfront.net/a\r\nHost: x",
    "https://d1.cloud\tfront.net/a",
    "https://d1.cloudfront.net/a\x00",
    "https://d1.cloudfront.net/\x7f",
    "https://d1.cloudfront.net/ä",
    "https://d\u00e4.example/a",
    "https://d1.cloudfront.net/\ud800",
    "https://d1\uff0ecloudfront.net/a",
    "https://d1.cloudfront.net/" + "a" * 65_536,
]


@pytest.mark.parametrize("local", [True, False])
@pytest.mark.parametrize("href", BAD_ANYWHERE, ids=lambda href: ascii(href[:40]))
def test_what_is_no_plain_absolute_link_is_refused(href, local):
    reason = why(href, local=local)

    assert reason is not None
    assert reason.startswith("the link ")
    assert "d1" not in reason


LOCAL = [
    "localhost",
    "LOCALHOST",
    "localhost.",
    "a.localhost",
    "a.localhost.",
    "localhost.localdomain",
    "printer.local",
    "printer.local.",
    "metadata.google.internal",
    "METADATA.google.internal",
    "metadata.google.internal.",
    "metadata",
    "intranet",
    "127.0.0.1",
    "127.0.0.1.",
    "127.255.255.254",
    "127.1",
    "0",
    "0.0.0.0",  # noqa: S104 - refused here
    "2130706433",
    "0x7f000001",
    "0x7f.1",
    "0177.0.0.1",
    "017700000001",
    "127.0.0.1%00",
    "%31%32%37.0.0.1",
    "%6cocalhost",
    "10.0.0.1",
    "172.16.0.1",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "0xa9fea9fe",
    "2852039166",
    "198.18.0.1",
    "192.0.2.1",
    "240.0.0.1",
    "255.255.255.255",
    "[::1]",
    "[::]",
    "[0:0:0:0:0:0:0:1]",
    "[fe80::1]",
    "[fe80::1%25eth0]",
    "[fd00::1]",
    "[fd00:ec2::254]",
    "[::ffff:127.0.0.1]",
    "[::ffff:7f00:1]",
    "[::ffff:169.254.169.254]",
]


@pytest.mark.parametrize("host", LOCAL)
def test_a_link_to_a_local_or_private_address_is_refused_in_any_spelling(host):
    for port in ("", ":443", ":8080"):
        assert why(f"https://{host}{port}/a?Signature=x") is not None


def test_local_hosts_are_known_as_such():
    assert is_local("localhost")
    assert is_local("::1")
    assert is_local("")
    assert is_local("2130706433")
    assert not is_local("platform.iceye.com")
    assert not is_local("8.8.8.8")
    assert not is_local("host.xn--p1ai")


@EXAMPLES
@given(st.text(max_size=40) | st.text(string.printable, max_size=40).map(lambda text: f"https://{text}"), st.booleans())
@example("https://[v1.x]/a", False)
def test_any_text_is_a_link_or_has_a_reason(href, local):
    reason = why(href, local=local)

    assert reason is None or reason.startswith("the link ")
    if reason is None:
        assert href.lower().startswith("https://" if not local else ("https://", "http://"))
        assert href.isascii()


# --- the last segment ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "name"),
    [
        (LINK, "vessels.geojson"),
        ("https://h.example/a/", ""),
        ("https://h.example", ""),
        ("https://h.example/a%20b%2Fc.tif?x=/y", "a b/c.tif"),
        ("https://h.example/%ff", "\ufffd"),
        ("https://[::1/a", ""),
        ("", ""),
    ],
)
def test_the_last_segment_of_a_link(href, name):
    assert file_name(href) == name


# --- safe names ------------------------------------------------------------------------------------------------

RESERVED = {"con", "prn", "aux", "nul"} | {f"{device}{number}" for device in ("com", "lpt") for number in range(10)}


def is_safe(name):
    """One segment that every system takes as it stands, and no tool takes for an option or a hidden file."""
    return (
        re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*", name) is not None
        and not name.endswith(".")
        and name.partition(".")[0].lower() not in RESERVED
        and len(name.encode()) <= 255
    )


@pytest.mark.parametrize(
    "text",
    ["a", "a.tif", "GRD_2026-03-01.tif", "vessels.geojson", "a.b.c", "_x", "a--b", "x" * 120, "console.txt", "nul_"],
)
def test_a_plain_name_stays_as_it_is(text):
    assert safe_name(text) == text
    assert is_safe(text)


HOSTILE = [
    "",
    ".",
    "..",
    "...",
    "../x",
    "../../etc/passwd",
    "/etc/x",
    "C:\\x",
    "C:x",
    "\\\\server\\share",
    "a/b",
    "a\\b",
    "a\x00b",
    "a\nb",
    "con",
    "CON",
    "con.tif",
    "nul.tif",
    "NUL.tar.gz",
    "aux.",
    "com1",
    "LPT9.txt",
    "com0",
    "conin$",
    "a.",
    "a...",
    "a ",
    " a",
    ".hidden",
    "-rf",
    "--",
    "%2f",
    "..%2fx",
    "~",
    "~root",
    "$HOME",
    "`id`",
    "a:b",
    "a*b?",
    'a"b',
    "a|b<c>",
    "\x1b[31mred\x1b[0m",
    "\u202egnp.exe",
    "a\u200bb",
    "ä",
    "a\u0308",
    "名前.tif",
    "\ud800",
    "😀",
    "x" * 121,
    "x" * 300,
    "x" * 300 + ".tif",
    "x." * 200,
    "/" * 300,
    "x" * 180 + "-" + "y" * 115 + ".tif",
    "x" * 180 + "." + "y" * 115 + ".tif",
    "x" * 180 + "con." + "y" * 112 + ".tif",
    "x" * 5 + "." + "y" * 115,
]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: f"{text[:12]!a}{len(text)}")
def test_any_other_name_is_made_safe(text):
    name = safe_name(text)

    assert name != text
    assert is_safe(name)
    assert name == safe_name(text)


def test_distinct_texts_have_distinct_names():
    texts = {*HOSTILE, *(text.swapcase() for text in HOSTILE), "a_b", "x", "etc_x", "_con", "unnamed", "a"}
    names = {safe_name(text) for text in texts}

    assert len(names) == len(texts)


def test_the_name_that_another_text_was_given_is_not_given_again():
    for text in ("a/b", "../x", "con", "ä.tif"):
        assert safe_name(safe_name(text)) != safe_name(text)


def test_a_suffix_survives():
    for text in ("a/b.tif", "ä.tif", "x" * 300 + ".tif", "con.tif"):
        assert safe_name(text).endswith(".tif")
    assert "." not in safe_name("a/b.averylongsuffix").partition("-")[2].replace("averylongsuffix", "")


def test_what_can_be_kept_of_a_name_is_kept():
    assert re.fullmatch(r"a_b-[0-9a-f]{10}\.tif", safe_name("a/b.tif"))
    assert re.fullmatch(r"etc_passwd-[0-9a-f]{10}", safe_name("/etc/passwd").lstrip("_"))
    assert re.fullmatch(r"unnamed-[0-9a-f]{10}", safe_name(""))
    assert re.fullmatch(r"_con-[0-9a-f]{10}\.tif", safe_name("con.tif"))


names = st.text() | st.text(".-_/\\conul1 xX%", max_size=10) | st.text(".-aé", min_size=100, max_size=300)


@EXAMPLES
@given(names | st.text(st.characters(), max_size=300))
def test_any_text_has_a_safe_name(text):
    name = safe_name(text)

    assert is_safe(name)
    assert name == safe_name(text)


@EXAMPLES
@given(names, names)
def test_any_two_texts_have_two_names(one, other):
    assume(one != other)

    assert safe_name(one) != safe_name(other)


@pytest.mark.parametrize(
    "host", ["[64:ff9b::7f00:1]", "[2002:7f00:1::]", "[::127.0.0.1]", "[::ffff:10.0.0.1]", "224.0.0.1"]
)
def test_an_address_that_stands_for_a_private_one_is_refused(host):
    assert refusal(f"https://{host}/a.tif", local=False) is not None


def test_a_public_address_of_either_kind_may_be_fetched():
    assert refusal("https://[2606:4700::1111]/a.tif", local=False) is None
    assert refusal("https://1.1.1.1/a.tif", local=False) is None


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("GET /a?Expires=1&Signature=s3cret failed", "GET /a?... failed"),
        ("the Signature=s3cret does not match", "the Signature=... does not match"),
        ("X-Amz-Security-Token=s3cret, access_token=s3cret", "X-Amz-Security-Token=... access_token=..."),
        ("https://d1.example/a?Expires=1 &Signature=s3cret", "https://d1.example/a?..."),
        (
            "https://d1.example/a?Sig=1 and https://d1.example/b?Sig=2",
            "https://d1.example/a?... and https://d1.example/b?...",
        ),
        ("https://s3cret_&x/a failed", "<unreadable link> failed"),
        ("contractID=42 was not found", "contractID=42 was not found"),
        ("denied for sig=s3cret/s3cret+x&se=2026", "denied for ..."),
        ("hmac=s3cret+s3cret/s3cret=&Expires=17 is wrong", "... is wrong"),
        (
            "https://docs.example/y?id=1 and contract=A; write to us",
            "https://docs.example/y?... and contract=A; write to us",
        ),
    ],
)
def test_what_signs_a_link_is_masked_also_where_it_stands_alone(text, shown):
    assert mask_text(text) == shown


@pytest.mark.parametrize(
    "word", ["a", "a=", "&", "a&", "a&b=", "&;", "a=&", "=;", "https://", "https://a ", "token=", "-signature", "x?"]
)
def test_masking_takes_no_more_than_the_length_of_the_text(word):
    """A word that took the square of its length would hold up everything else: this one would never end."""
    assert len(mask_text(word * 100_000)) <= 100_000 * len(word)


# --- when they end, and what they lead to --------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("href", "fetched", "end"),
    [
        (LINK, None, 1.0),
        (LINK, 500.0, 1.0),
        ("https://l.example/f?a=b&Expires=1234567890&Signature=x", 500.0, 1234567890.0),
        ("https://l.example/f?Expires=77", None, 77.0),
        ("https://l.example/f?Expires=77#x", None, 77.0),
        ("https://l.example/f", None, None),
        ("https://l.example/f", 500.0, 4100.0),
        ("https://l.example/f?Expires=soon", 500.0, 4100.0),
        ("https://l.example/f?Expires=", 500.0, 4100.0),
        ("https://l.example/f?NotExpires=77", 500.0, 4100.0),
        ("https://l.example/Expires=77", 500.0, 4100.0),
        ("https://l.example/f?Expires=1234567890123", 500.0, 4100.0),
    ],
)
def test_a_link_ends_as_it_says_or_an_hour_after_it_was_given(href, fetched, end):
    assert expiry(href, fetched) == end


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (LINK, "https://d1.cloudfront.net/abc/vessels.geojson?Expires=2&Signature=t&Key-Pair-Id=K"),
        ("https://l.example/f?Policy=a&Signature=b", "https://l.example/f"),
        ("https://l.example/f?X-Amz-Date=1&X-Amz-Signature=b&v=1", "https://l.example/f?v=1"),
        ("https://l.example/f?v=1&Expires=2", "https://l.example/f?Expires=3&v=1#x"),
    ],
)
def test_links_that_differ_in_their_signature_lead_to_the_same_object(one, other):
    assert object_of(one) == object_of(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("https://l.example/f?v=1", "https://l.example/f?v=2"),
        ("https://l.example/f", "https://l.example/g"),
        ("https://l.example/f", "https://m.example/f"),
    ],
)
def test_links_that_differ_in_anything_else_do_not(one, other):
    assert object_of(one) != object_of(other)


def test_in_json_every_text_is_masked_and_nothing_else_changes():
    given = {"a": [LINK, 1, None, True, {"b": ("plain", f"see {LINK}")}], LINK: 1.5}
    shown = "https://d1.cloudfront.net/abc/vessels.geojson?..."

    assert mask_within(given) == {"a": [shown, 1, None, True, {"b": ["plain", f"see {shown}"]}], shown: 1.5}
    assert given[LINK] == 1.5


def test_in_json_keys_that_differ_in_what_is_masked_alone_stay_apart():
    shown = "https://d1.cloudfront.net/abc/vessels.geojson?..."

    assert mask_within({LINK: 1, LINK + "2": 2, LINK + "3": 3}) == {shown: 1, f"{shown}_": 2, f"{shown}__": 3}


@EXAMPLES
@given(st.text(alphabet=st.characters(exclude_categories=["Cs"])) | st.just(LINK))
def test_a_text_alone_is_masked_as_in_json(text):
    assert mask_within(text) == mask_text(text)


@pytest.mark.parametrize(
    ("header", "name"),
    [
        ('attachment; filename="ICEYE_X6_GRD_SM_453426.tif"', "ICEYE_X6_GRD_SM_453426.tif"),
        ("attachment; filename=a.tif", "a.tif"),
        ("attachment; filename=\"other.tif\"; filename*=UTF-8''a.tif", "a.tif"),
        ("attachment; filename*=UTF-8''%e2%82%ac.tif", "\u20ac.tif"),
        ('attachment; filename="../../etc/passwd"', "passwd"),
        ('attachment; filename="C:\\\\x\\\\y.tif"', "y.tif"),
        ('attachment; filename=""', None),
        ('attachment; filename="/"', None),
        ("attachment; filename*=no-such-charset''%ff", "\u00ff"),
        ('attachment; filename="\ud800"', None),
        ("attachment", None),
        ("", None),
    ],
)
def test_the_name_that_a_host_gives_is_its_last_part_alone(header, name):
    assert disposition(header) == name
