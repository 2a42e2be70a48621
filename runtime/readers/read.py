"""From a name to a document: which reader reads what. A new kind of file is one file beside this one, and one row of `READERS`.

Everything that can be wrong with a document is found here, before a model is loaded.
"""

import difflib
import errno
import sys
import warnings
from collections.abc import Sequence
from pathlib import Path

from nrem.memory.arguments import check_kind
from nrem.memory.errors import DocumentError, MissingFileError, UsageError
from nrem.memory.names import printable
from nrem.memory.saved.there import is_dir
from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.markdown import MarkdownReader
from nrem.runtime.readers.restructured import RestructuredReader
from nrem.runtime.readers.source import once_only, source_of, unreadable
from nrem.runtime.readers.text import PlainTextReader

READERS: dict[str, type[Reader]] = {
    ".md": MarkdownReader,
    ".markdown": MarkdownReader,
    ".mdx": MarkdownReader,
    ".rst": RestructuredReader,
    ".rest": RestructuredReader,
}
"""By suffix; every other file is read as plain text."""
SHOWN = 60
"""Characters of what is too long for a name."""
NAME = "the name of a file, or a Document, which Document.from_text makes of text"


def _warn(text: str) -> None:
    warnings.warn(f"nrem: {text}", stacklevel=4)


def read_document(source: str | Path, *, encoding: str = "", tell: Tell = _warn) -> Document:
    """The document in a file, a pipe, or on standard input for `-`. What can be read once only is read to its end here.

    `encoding` names the text's encoding; without it the byte-order mark, UTF-8 or a guess decides, and a guess is told. Raises
    `MissingFileError` for a path that is not there, `UsageError` for an unknown encoding, and `DocumentError` for a folder, a device and a
    document that is empty, says nothing or is no text.
    """
    check_kind("document", source, (str, Path), NAME)
    check_kind("encoding", encoding, str, "the name of a text encoding")
    if str(source) == "-":
        if sys.stdin is not None and sys.stdin.isatty():
            tell("reading standard input; Ctrl-D ends it")
    else:
        _check_there(Path(source))
    found = source_of(source)
    reader = READERS.get(found.suffix, PlainTextReader if found.stem else MarkdownReader)
    return reader().open(found, encoding=encoding, tell=tell)


def open_documents(documents: Sequence[Document | str | Path], *, encoding: str = "", tell: Tell = _warn) -> list[Document]:
    """Every document, opened and checked; those that are documents already stay. Raises what `read_document` raises, and `UsageError`
    where what can be read once only is named twice."""
    check_names(documents)
    names = [document for document in documents if not isinstance(document, Document)]
    seen: set[object] = set()
    for name in names:
        if (same := once_only(name)) in seen:
            what = "standard input" if str(name) == "-" else "it"
            raise UsageError(f"{printable(name)}: {what} can be read once only; name it once")
        seen |= {same} - {None}
    return [d if isinstance(d, Document) else read_document(d, encoding=encoding, tell=tell) for d in documents]


def check_names(documents: Sequence[object]) -> None:
    """Raise `UsageError` for what neither is a document nor names one."""
    for document in documents:
        check_kind("document", document, (Document, str, Path), NAME)


def _check_there(path: Path) -> None:
    if is_dir(path):
        raise DocumentError(f"{printable(path)}: is a folder, expected a document; name the files in it")
    try:
        path.stat()
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise MissingFileError(f"{printable(path)[:SHOWN]}...: no such file; Document.from_text takes text itself") from None
        if not isinstance(error, (FileNotFoundError, NotADirectoryError)):
            raise unreadable(printable(path), error) from None
        near = difflib.get_close_matches(path.name, [p.name for p in path.parent.iterdir()] if is_dir(path.parent) else [], n=1)
        advice = f"did you mean {printable(path.parent / near[0])}?" if near else "give the path of a document"
        raise MissingFileError(f"{printable(path)}: no such file; {advice}") from None
