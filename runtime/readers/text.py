"""Plain text, whatever its suffix: read exactly as it is, with the title that its file's name gives. Knows no markup."""

import re
from collections.abc import Callable
from typing import final

from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.encoding import decoded, find_encoding
from nrem.runtime.readers.source import Source

START_CHARACTERS = 16384
"""How far a title is looked for."""


@final
class PlainTextReader(Reader):
    """Text that is not known to have markup."""

    def open(self, source: Source, *, encoding: str, tell: Tell) -> Document:
        return text_document(source, encoding, tell)


def text_document(source: Source, encoding: str, tell: Tell, find_title: Callable[[str], str] = lambda start: "") -> Document:
    """The text of a source as it stands there; its title is what `find_title` finds at its start, else its name in words."""
    codec = find_encoding(source, encoding, tell)
    start = ""
    for piece in decoded(source, codec):
        start += piece
        if len(start) >= START_CHARACTERS:
            break
    title = find_title(start[:START_CHARACTERS]) or re.sub(r"[_\-]+", " ", source.stem).strip()
    return Document(name=source.name, title=title, pieces=lambda: decoded(source, codec))
