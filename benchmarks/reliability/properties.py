"""The properties of what is read from outside, a row of `PROPERTIES` each: what is drawn, and what is done with it in an empty folder.

Tests try each a few times, the benchmark `fuzz` thousands of times.
"""

import gzip
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from benchmarks.reliability import sound_values as sound
from benchmarks.reliability.drawn import BYTES, ENCODINGS, JSON, PLAIN, WORDS, encoded, json_bytes, json_lines, spoilt
from benchmarks.reliability.property import Property, check_sentence
from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.budget import parse_budget
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.train.data import read_source
from nrem.memory.errors import NremError
from nrem.memory.saved.files import ADAPTER_CONFIG, EVENTS, MEMORY, TEXT_CHUNKS
from nrem.memory.saved.journal import Journal
from nrem.memory.saved.record_file import OWN_HASH, own_hash, read_checked_record, read_record
from nrem.memory.stream.chunk import Chunk, cut_chunks
from nrem.memory.stream.dreams import DREAMT
from nrem.memory.text.evicted import EvictedText
from nrem.memory.weights.adapter_config import read_adapter_config
from nrem.runtime.commands.options import numbers
from nrem.runtime.config import Config, load_config, to_dict
from nrem.runtime.measure.questions import read_documents, read_questions
from nrem.runtime.opened import written_values
from nrem.runtime.readers.read import READERS, read_document
from nrem.runtime.scaling.points import read_run
from nrem.runtime.tune.measure import BANK
from nrem.runtime.tune.wordings import read_wordings
from nrem.runtime.wake.config import check_question
from nrem.runtime.wake.router import Router
from nrem.runtime.wake.ways import parse_way
from tests.strategies import chunks, texts

# -- documents ----------------------------------------------------------------------------------------------------------------


def _read(folder: Path, drawn: tuple[bytes, str, str]) -> None:
    content, suffix, encoding = drawn
    path = folder / f"some_text{suffix}"
    path.write_bytes(content)
    document = read_document(path, encoding=encoding, tell=lambda text: None)
    text = "".join(document.pieces())
    assert text == "".join(document.pieces()), "it reads the same twice"
    assert text.encode(), "it is text"
    assert isinstance(document.title, str)


_FRONT = (
    "---\ntitle: ",
    "+++\ntitle = ",
    "# ",
    "<h1>",
    "<!--",
    "=====\n",
    "---\n",
    "+++\n",
    "![a](b)",
    "[![",
    "</h1>",
    "\\",
    "'",
    '"',
    "{{",
    "..",
)
_MARKED = st.lists(st.one_of(st.sampled_from(_FRONT), texts), max_size=8).map(lambda parts: "".join(parts).encode("utf-8", "surrogatepass"))
_DOCUMENTS = st.tuples(
    st.one_of(BYTES, encoded(), _MARKED, _MARKED.flatmap(spoilt)),
    st.sampled_from(["", ".txt", *READERS, ".html", ".pdf", ".csv", ".MD", ".\udcff"]),
    st.one_of(
        st.just(""), st.just(""), st.sampled_from(ENCODINGS), st.sampled_from(["base64", "rot13", "idna", "punycode", "undefined"]), WORDS
    ),
)
COUNTS: dict[str, Callable[[str], int]] = {
    "bytes": lambda text: len(text.encode("utf-8", "surrogatepass")),
    "words": lambda text: len(text.split()),
    "thirds": lambda text: -(-len(text) // 3),
}
"""Ways to count tokens."""


def _cut(folder: Path, drawn: tuple[list[str], int, str]) -> None:
    pieces, most, how = drawn
    count = COUNTS[how]
    chunks = list(cut_chunks(iter(pieces), count_tokens=count, max_tokens=most, document="d", title="t"))
    assert "".join(chunk.text for chunk in chunks) == "".join(pieces), "the chunks are the document"
    assert all(chunk.num_tokens == count(chunk.text) <= most for chunk in chunks), "no chunk has too many tokens"
    assert [chunk.index for chunk in chunks] == list(range(len(chunks)))
    again = cut_chunks(["".join(pieces)], count_tokens=count, max_tokens=most, document="d", title="t")
    assert [chunk.text for chunk in again] == [chunk.text for chunk in chunks], "where a piece ends has no influence"


_PIECES = st.tuples(st.lists(texts, max_size=5), st.one_of(st.integers(6, 60), st.integers(-1, 60)), st.sampled_from(sorted(COUNTS)))

# -- settings -----------------------------------------------------------------------------------------------------------------

_KEYS = sorted(
    {f"{section}.{key}" for section, values in to_dict(Config()).items() if isinstance(values, dict) for key in values}
    | {"seed", "model", "sleep", "sleep.passes.x", "given", "rule.x", "slep.passes", "a", "", ".", "sleep.", ".passes", "sleep..passes"}
)
_TOML = st.one_of(
    st.sampled_from(
        ["nan", "inf", "-inf", "1e400", "true", "1979-05-27", "07:32:00", "'x'", '"""a\nb"""', "[1, 2]", "{a = 1}", "0x" + "f" * 40]
    ),
    st.sampled_from(["9" * 5000, "1_000", "[" * 3000, "{a=" * 3000, '"\\ud800"', "1\nw = 2", "", "auto", "search:9", "{question}"]),
    st.integers().map(str),
    st.floats().map(str),
    WORDS,
)
"""Values as one writes them, right and wrong."""
_RIGHT = (
    ("sleep.passes", 3),
    ("sleep.passes", '"auto"'),
    ("seed", 7),
    ("answer.way", '"search:2"'),
    ("stream.chunk_tokens", 64),
    ("guard.enabled", "false"),
)


def _configured(folder: Path, drawn: bytes) -> None:
    path = folder / "mine.toml"
    path.write_bytes(drawn)
    load_config(path)


@st.composite
def _toml(draw: st.DrawFn) -> bytes:
    lines = []
    for key, value in draw(st.lists(st.tuples(st.sampled_from(_KEYS), _TOML), max_size=4)):
        section, _, name = key.partition(".")
        lines.append(draw(st.sampled_from([f"{key} = {value}", f"[{section}]\n{name} = {value}", f"[[{section}]]\n{name} = {value}"])))
    right = draw(st.lists(st.sampled_from(_RIGHT), max_size=3, unique_by=lambda pair: pair[0]))
    lines = [f"{key} = {value}" for key, value in right] + lines
    return "\n".join(lines).encode("utf-8", "surrogatepass")


def _set(folder: Path, drawn: list[str]) -> None:
    load_config(None, drawn)


_SETTINGS = st.lists(
    st.one_of(
        st.builds("{}={}".format, st.sampled_from(_KEYS), _TOML),
        st.sampled_from(_RIGHT).map(lambda pair: f"{pair[0]}={pair[1]}"),
        WORDS,
        st.just("a." * 5000 + "b=1"),
        st.just("sleep." + "x." * 5000 + "b=1"),
    ),
    min_size=1,
    max_size=3,
)


def _any_of(*readers: Callable[[Any], object]) -> Callable[[Any], list[Any]]:
    """What each makes of the same; refused where all refuse."""

    def read(drawn: Any) -> list[Any]:
        found, refused = [], None
        for reader in readers:
            try:
                found.append(reader(drawn))
            except NremError as error:
                check_sentence(str(error))
                refused = error
        if refused and not found:
            raise refused
        return found

    return read


_words = _any_of(parse_budget, parse_way, lambda text: numbers(text, "--passes"), check_question)
"""What flags and arguments take as words."""


_FLAGS = st.one_of(
    WORDS,
    _TOML,
    st.from_regex(r"[0-9.,_ ]{1,8}(k|M|g)?(FET|s)?", fullmatch=True),
    st.from_regex(r"(direct|search|vote|think|again|read):[-0-9²]{0,6}", fullmatch=True),
    st.sampled_from(["vote:" + "9" * 5000, "9" * 5000 + "kFET", "0," * 3000]),
)

# -- files --------------------------------------------------------------------------------------------------------------------


def _file(name: str, read: Callable[[Path], object]) -> Callable[[Path, bytes], object]:
    def holds(folder: Path, drawn: bytes) -> None:
        (folder / name).write_bytes(drawn)
        read(folder / name)

    return holds


def _packed(lines: st.SearchStrategy[bytes]) -> st.SearchStrategy[bytes]:
    """Whole, and torn or changed."""
    packed = lines.map(lambda content: gzip.compress(content, mtime=0))
    return st.one_of(packed, packed.flatmap(spoilt), BYTES)


def _text(read: Callable[[str, str], object]) -> Callable[[Path, bytes], object]:
    return lambda folder, drawn: read(drawn.decode("utf-8", "replace"), "some.json")


def _questions(path: Path) -> None:
    """Read in both ways; what is given can be asked."""
    for one in (one for found in _any_of(read_questions, read_documents)(path) for one in found):
        for question in getattr(one, "questions", (one,)):
            check_question(question.question)
            "".join((question.id, question.question, *question.answers)).encode()


def _record(folder: Path, drawn: bytes) -> None:
    """With its own hash where it has one, so that what is said is looked at."""
    try:
        values = json.loads(drawn)
        drawn = json.dumps(values | {OWN_HASH: own_hash(values)}).encode() if isinstance(values, dict) else drawn
    except (ValueError, RecursionError, TypeError):
        pass
    (folder / MEMORY).write_bytes(drawn)
    try:
        record = read_checked_record(folder)
    except NremError as error:
        if "is missing" not in str(error) or "adapter" not in str(error):
            raise
        record = read_record(folder)  # all is well but that there is no adapter beside it
    written_values(record, str(folder))
    json.dumps(record.to_dict())


def _journal(path: Path) -> None:
    Journal(path.parent).events()
    Journal(path.parent).append({"kind": "next"})


def _evicted(path: Path) -> None:
    text = EvictedText(path.parent)
    read = list(text)
    assert len(read) == len(text)
    kept = EvictedText(path.parent / "kept")
    for chunk in read:
        kept.append(chunk)
    assert list(EvictedText(kept.folder)) == read, "what was read can be kept and read again"
    text.search("Who kept the lamp?")


def _dreamt(folder: Path, drawn: tuple[Chunk, Any]) -> None:
    """A chunk comes back as it was; whatever else stands where its dreams do is dreams or refused."""
    chunk, other = drawn
    assert Chunk.from_dict(chunk.to_dict()) == chunk
    taken = Chunk.from_dict(chunk.to_dict() | {DREAMT: other})
    assert [list(asked) for asked in taken.dreamt] == other


_DREAMS = st.lists(st.lists(st.one_of(WORDS, PLAIN), min_size=2, max_size=2), max_size=3)

PROPERTIES: dict[str, Property] = {
    "documents": Property(_DOCUMENTS, _read),
    "chunks": Property(_PIECES, _cut),
    "configuration": Property(st.one_of(_toml(), _toml().flatmap(spoilt), BYTES), _configured),
    "settings": Property(_SETTINGS, _set),
    "flags": Property(_FLAGS, lambda folder, drawn: _words(drawn)),
    "questions": Property(json_lines([sound.QUESTION, sound.DOCUMENT]), _file("qa.jsonl", _questions)),
    "questions, packed": Property(_packed(json_lines([sound.QUESTION])), _file("qa.jsonl.gz", _questions)),
    "passages": Property(json_lines([sound.DOCUMENT, sound.PASSAGE]), _file("p.jsonl", lambda path: read_source(path, len, 400))),
    "passages, plain": Property(
        st.one_of(BYTES, encoded(), spoilt(sound.STORY.encode())), _file("p.txt", lambda path: read_source(path, len, 400))
    ),
    "wordings": Property(st.one_of(BYTES, encoded()), _file("words.txt", read_wordings)),
    "memory.json": Property(json_bytes(sound.RECORD), _record),
    "chunks.jsonl": Property(json_lines([sound.CHUNK, sound.DREAMING, sound.CHUNK]), _file(TEXT_CHUNKS, _evicted)),
    "dreams": Property(st.tuples(chunks, st.one_of(_DREAMS, JSON)), _dreamt),
    "adapter_config.json": Property(json_bytes(sound.ADAPTER), _file(ADAPTER_CONFIG, lambda path: read_adapter_config(path.parent))),
    "journal.jsonl": Property(st.one_of(BYTES, spoilt(sound.JOURNAL)), _file(EVENTS, _journal)),
    "ceiling.json": Property(json_bytes(sound.CEILING), _text(Ceiling.from_json)),
    "curves.json": Property(json_bytes(sound.CURVES), _text(CurveTable.from_json)),
    "confidence.json": Property(json_bytes(sound.CONFIDENCE), _text(Confidence.from_json)),
    "router.json": Property(json_bytes(sound.ROUTER), _text(Router.from_json)),
    "bank.jsonl": Property(json_lines(sound.BANK), _file(BANK, lambda path: read_run(path.parent))),
}
