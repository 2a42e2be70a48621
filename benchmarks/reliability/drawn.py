"""Inputs drawn for the fuzzing: bytes, texts, JSON and TOML, any at all and sound ones with one thing changed. Knows no readers."""

import json
from typing import Any

from hypothesis import strategies as st

from tests.strategies import texts

WORDS = st.text(max_size=12)
NUMBERS = st.one_of(
    st.integers(-5, 300),
    st.integers(),
    st.sampled_from([2**31, 2**53, 2**63, 2**64, 10**30, 10**400, -(2**63)]),
    st.floats(),
    st.just(1e308),
)
PLAIN = st.one_of(
    st.none(), st.booleans(), NUMBERS, WORDS, st.sampled_from(["\ud800", "a\nb", "\x00", "NaN", "x" * 3000, "1e999", "{question}"])
)
JSON = st.recursive(PLAIN, lambda inside: st.lists(inside, max_size=4) | st.dictionaries(WORDS, inside, max_size=4), max_leaves=8)
"""Whatever `json.dumps` takes: also NaN, halves of surrogate pairs, and whole numbers without end."""
DEEP = st.sampled_from(
    [b"[" * 3000, b'{"a":' * 3000, b"9" * 5000, b"\xff\xfe", b"\x00", b"null", b"[]", b"{}", b'"', b"\x1f\x8b\x08\x00", b""]
)
BYTES = st.one_of(st.binary(max_size=300), DEEP, texts.map(lambda text: text.encode("utf-8", "surrogatepass")))
"""Of any file."""
ENCODINGS = (
    "utf-8",
    "utf-8-sig",
    "utf-16",
    "utf-16-le",
    "utf-32",
    "latin-1",
    "cp1252",
    "shift_jis",
    "gb18030",
    "utf-7",
    "iso2022_jp",
    "cp037",
)


@st.composite
def encoded(draw: st.DrawFn) -> bytes:
    """A text in some encoding, perhaps torn or with a byte changed."""
    content = draw(texts).encode(draw(st.sampled_from(ENCODINGS)), "replace")
    return draw(spoilt(content))


@st.composite
def spoilt(draw: st.DrawFn, content: bytes) -> bytes:
    """Sound bytes, perhaps with a piece replaced, doubled or left out."""
    kind = draw(st.sampled_from(["as it is", "cut", "replaced", "doubled", "inserted"]))
    start = draw(st.integers(0, len(content)))
    stop = draw(st.integers(start, min(len(content), start + 40)))
    if kind == "cut":
        return content[:start]
    if kind == "replaced":
        return content[:start] + draw(st.binary(max_size=8)) + content[stop:]
    if kind == "doubled":
        return content[:stop] + content[start:]
    return content[:start] + draw(BYTES) + content[start:] if kind == "inserted" else content


@st.composite
def changed(draw: st.DrawFn, value: Any) -> Any:
    """A sound value of JSON with one thing in it replaced, left out or added, at any depth."""
    kinds = ["replace", "replace", "leave out", "add"]
    if isinstance(value, dict) and value:
        key = draw(st.sampled_from(sorted(value)))
        if draw(st.integers(0, 3)):
            return value | {key: draw(changed(value[key]))}
        kind = draw(st.sampled_from(kinds))
        if kind == "leave out":
            return {k: v for k, v in value.items() if k != key}
        return value | {(key if kind == "replace" else draw(WORDS)): draw(JSON)}
    if isinstance(value, list) and value:
        at = draw(st.integers(0, len(value) - 1))
        if draw(st.integers(0, 3)):
            return [*value[:at], draw(changed(value[at])), *value[at + 1 :]]
        kind = draw(st.sampled_from(kinds))
        return [*value[:at], *([] if kind == "leave out" else [draw(JSON)]), *value[at + (kind != "add") :]]
    return draw(JSON)


def json_bytes(value: Any) -> st.SearchStrategy[bytes]:
    """A sound value as JSON, with one thing changed in what it says or how it is written; or any bytes."""
    sound = json.dumps(value).encode()
    return st.one_of(changed(value).map(lambda new: json.dumps(new).encode()), spoilt(sound), BYTES)


def json_lines(values: list[Any]) -> st.SearchStrategy[bytes]:
    """Lines of JSON, likewise."""
    sound = b"".join(json.dumps(value).encode() + b"\n" for value in values)
    lines = changed(values).map(lambda new: "\n".join(map(json.dumps, new if isinstance(new, list) else [new])).encode() + b"\n")
    return st.one_of(lines, spoilt(sound), BYTES)
