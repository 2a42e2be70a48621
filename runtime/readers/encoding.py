"""Encodings: which one a text is in, and its characters. Nothing here holds more of a text than a sample of it.

In this order: the name that was given; a byte-order mark; UTF-8; and where it is not UTF-8, a guess by charset-normalizer among the
encodings that people still write. A guess is told, never silent. Knows nothing about titles and chunks.
"""

import codecs
import re
from collections.abc import Iterator

from charset_normalizer import from_bytes

from nrem.memory.errors import DocumentError, UsageError
from nrem.runtime.readers.document import Tell, check_says_something
from nrem.runtime.readers.source import Source

MARKS = {
    codecs.BOM_UTF8: "utf-8",
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte-order marks; those of UTF-32 are looked for before the shorter ones that they begin with."""
WIDE = ("utf_16_le", "utf_16_be")
NARROW = ("cp1252", "cp932", "euc_jp", "gb18030", "big5", "cp949", "cp1250", "cp1251", "koi8_r", "cp866", "cp1253", "cp1254")
RARE = ("cp1255", "cp1256", "cp1257", "cp1258", "cp874", "mac_roman")
"""What a text may be in that is not UTF-8; the earlier one where nothing else decides."""
NOISE = 0.1
"""How much more of charset-normalizer's `chaos` an earlier one may have; short texts need this."""
NAMES_OF_HOSTS = ("idna", "punycode")
"""Python calls these encodings of text; they are for single words, and cannot be read in pieces."""
SAMPLE_BYTES = 65536
FOREIGN = {
    b"%PDF-": "a PDF file",
    b"PK\x03\x04": "a zip archive, as docx, odt and epub files are",
    b"\xd0\xcf\x11\xe0": "an old Office file",
    b"{\\rtf": "an RTF file",
    b"\x1f\x8b": "a gzip archive",
    b"\x89PNG": "a picture",
    b"\xff\xd8\xff": "a picture",
}
"""Beginnings of files that people may take for text documents, to be told what they are."""
FEW = 8
"""Letters with accents in the lines of a text that have some, up to which it is taken for a text in a western language."""
SIGNS = frozenset(
    b"\x80\x82\x84\x85\x86\x87\x89\x8b\x91\x92\x93\x94\x95\x96\x97\x99\x9b\xa0\xa6\xa7\xa9\xab\xac\xae\xb0\xb1\xb4\xb5\xb6\xb7\xbb"
)
"""Quotation marks, dashes, (c) and the like, where cp1252 has them, and other Latin encodings of Windows too."""
NONE_IN_CP1252 = frozenset(b"\x81\x8d\x8f\x90\x9d")
_HIGH = re.compile(rb"[\x80-\xff]+")
_LETTER_ELSEWHERE = re.compile(rb"(?<=[a-zA-Z])[\x8c\x8f\x9c\x9f\xa3\xa5\xaf\xb3\xb9\xbc\xbe\xbf](?=[a-zA-Z])")
"""Signs of cp1252 in the middle of a word: in cp1250 they are letters."""
_CONTROL = re.compile(rb"[\x01-\x08\x0e-\x1f]")
_SURE_END = re.compile(rb".*[\x00-\x2f]", re.DOTALL)
"""Up to a byte that is in no encoding the second half of a character."""
_TORN = re.compile(rb"[\xc2-\xf4][\x80-\xbf]+\Z")


def find_encoding(source: Source, named: str, tell: Tell) -> str:
    """The encoding in which all of a source can be read; looks at every byte.

    Raises `UsageError` for a name that is not an encoding's, and `DocumentError` for what is empty, binary or torn, with the byte.
    """
    start = source.start(max(map(len, FOREIGN)))
    if named:
        codec = _known(named)
    else:
        for beginning, kind in FOREIGN.items():
            if start.startswith(beginning):
                raise DocumentError(f"{source.where}: is {kind}, expected text; convert it to text first")
        codec = next((codec for mark, codec in MARKS.items() if start.startswith(mark)), "")
    try:
        check_says_something(decoded(source, codec or "utf-8"), source.where)
    except NotTextError:
        if codec or not (guess := _guess(source)):
            raise
        check_says_something(decoded(source, guess), source.where)
        tell(f"{source.where}: not UTF-8, read as {guess.replace('_', '-')}, which is a guess; --encoding NAME names another")
        return guess
    return codec or "utf-8"


class NotTextError(DocumentError):
    """A byte that cannot stand in a text of this encoding."""


def decoded(source: Source, codec: str) -> Iterator[str]:
    """The text in pieces, without its byte-order mark. Raises `NotTextError`, naming the byte."""
    decoder, offset, first, shown = codecs.getincrementaldecoder(codec)(), 0, True, codec.upper().replace("_", "-")
    blocks = source.blocks()
    while True:
        block = next(blocks, b"")
        cut = len(decoder.getstate()[0])  # bytes of a character that the last block has cut
        if codec == "utf-8" and b"\0" in block:
            raise NotTextError(f"{source.where}: byte {offset + block.index(0)} is NUL, expected UTF-8 text; this looks like a binary file")
        try:
            text = decoder.decode(block, final=not block)
        except UnicodeError as error:  # some encodings say no more than that
            at, why = (error.start, error.reason) if isinstance(error, UnicodeDecodeError) else (0, str(error))
            raise NotTextError(
                f"{source.where}: not {shown} text near byte {offset - cut + at} ({why}); give its encoding with --encoding, or a text file"
            ) from None
        if "\0" in text:
            raise NotTextError(f"{source.where}: a NUL stands near byte {offset}, expected {shown} text; this looks like a binary file")
        if text:
            yield text.removeprefix("\ufeff") if first else text
            first = False
        if not block:
            return
        offset += len(block)


def _known(name: str) -> str:
    try:
        info = codecs.lookup(name)
        "".encode(info.name)  # refuses what is no encoding of text, such as base64
        if info.name in NAMES_OF_HOSTS:
            raise ValueError("not for texts")
    except (LookupError, ValueError):
        raise UsageError(f"--encoding: got {name!r}, expected the name of a text encoding, such as utf-16, cp1252 or shift_jis") from None
    return info.name


def _guess(source: Source) -> str:
    """An encoding other than UTF-8 that fits what is not ASCII in the text; "" where it is binary, or UTF-8 with damage."""
    sample = _sample(source)
    if b"\0" not in sample:
        text = sample.decode("utf-8", "replace")
        bad = text.count("\ufffd")
        good = sum(not character.isascii() for character in text) - bad
        if good > bad or (bad == 1 and _TORN.search(sample)):
            return ""
    if b"\0" in sample and sample.count(b"\0") < len(sample) / 4 and sample.isascii() and not _CONTROL.search(sample):
        return ""  # letters of two bytes would have a NUL each, or another byte that no ASCII text has
    if _is_western(sample):
        return "cp1252"
    candidates = WIDE if b"\0" in sample else (*NARROW, *WIDE, *RARE)
    matches = from_bytes(sample, cp_isolation=list(candidates), enable_fallback=False)
    if (best := matches.best()) is None:
        return ""
    good_ones = [m.encoding for m in matches if m.chaos <= best.chaos + NOISE and m.coherence >= best.coherence]
    return min(good_ones, key=candidates.index)


def _is_western(sample: bytes) -> bool:
    """Whether what is not ASCII is too little to guess by, and stands as it does in a text in Latin letters: by itself, signs mostly."""
    runs = _HIGH.findall(sample)
    if b"\0" in sample or not runs or any(len(run) > 1 for run in runs):
        return False
    if len(runs) > FEW and not all(run[0] in SIGNS for run in runs):
        return False
    return not any(run[0] in NONE_IN_CP1252 for run in runs) and not _LETTER_ELSEWHERE.search(sample)


def _sample(source: Source) -> bytes:
    """At most `SAMPLE_BYTES` of the lines in which something else than ASCII stands, so that a word late in a text is enough; of a text
    with NUL in it, its start."""
    sample = source.start(SAMPLE_BYTES)
    if b"\0" in sample:
        return sample
    sample = line = b""
    for block in source.blocks():
        *lines, line = (line + block).split(b"\n")
        sample += b"".join(whole + b"\n" for whole in lines if not whole.isascii())
        if len(sample) >= SAMPLE_BYTES:
            break
        if len(line) >= SAMPLE_BYTES:  # a line without an end: what is ASCII up to here can be left out
            if not line.isascii():
                break
            line = b""
    sample += line
    end = _SURE_END.match(sample[:SAMPLE_BYTES])
    return end.group() if end and len(sample) > SAMPLE_BYTES else sample[:SAMPLE_BYTES]
