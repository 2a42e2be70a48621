"""reStructuredText: read exactly as it is; its title is the first section title, with a line under it or over and under it.

What may stand before it is comments, directives, labels, fields, transitions and badges.
"""

import re
from typing import final

from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.source import Source
from nrem.runtime.readers.text import text_document

SHORTEST = 4
"""Marks from which on a line stands under a title that is longer, as docutils has it."""
_BEFORE = re.compile(
    r"[ \t]*\r?\n|\.\.(?:[ \t].*)?\r?\n(?:[ \t]+\S.*\r?\n|[ \t]*\r?\n(?=[ \t]))*|:[^:\n]+:.*\r?\n(?:[ \t]+\S.*\r?\n)*"
    r"|(?P<rule>[!-/:-@\[-`{-~])(?P=rule){3,}[ \t]*\r?\n(?=[ \t]*\r?\n)|__[ \t].*\r?\n|(?:\|[^|\n]+\|_?[ \t]*)+\r?\n"
)
"""A blank line; what begins with two dots and is indented below; a field; a transition; a target without a name; badges."""
_LINE = r"(?P<mark>[!-/:-@\[-`{-~])(?P=mark){2,}[ \t]*\r?$"
_OVER = re.compile(_LINE + r"\n[ \t]*(?P<title>\S.*)\n(?P=mark){3,}[ \t]*\r?$", re.MULTILINE)
_UNDER = re.compile(r"(?P<title>\S.*)\n" + _LINE, re.MULTILINE)


@final
class RestructuredReader(Reader):
    """reStructuredText, as Python's documentation is written in."""

    def open(self, source: Source, *, encoding: str, tell: Tell) -> Document:
        return text_document(source, encoding, tell, restructured_title)


def restructured_title(start: str) -> str:
    """The title that the start of a text gives; "" where there is none.

    >>> restructured_title(".. _light:\\n\\n=========\\nThe light\\n=========\\n")
    'The light'
    """
    at = 0
    while before := _BEFORE.match(start, at):
        at = before.end()
    heading = _OVER.match(start, at) or _UNDER.match(start, at)
    if heading is None:
        return ""
    line = heading[0].splitlines()[-1].rstrip()
    if heading.re is _UNDER and len(line) < min(SHORTEST, len(heading["title"].rstrip())):
        return ""  # dots under a paragraph are no line under a title
    return " ".join(heading["title"].split())
