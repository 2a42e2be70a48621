"""Markdown: read exactly as it is; its title is the one that its start gives, in any of the forms that people write.

These are front matter (YAML, TOML), `# Title`, a line over `=====`, and `<h1>` in HTML; what may stand before them is white space, comments
and HTML without text, such as a logo.
"""

import html
import json
import re
import tomllib
from typing import final

from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.source import Source
from nrem.runtime.readers.text import text_document

_YAML = re.compile(r"---[ \t]*\r?\n(?=(?:[ \t]*\r?\n|#[^\n]*\n)*[\w.-]+[ \t]*:)(.*?)^(?:---|\.\.\.)[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_YAML_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE | re.IGNORECASE)
_SINGLE = re.compile(r"'((?:[^']|'')*)'")
_DOUBLE = re.compile(r'"((?:[^"\\]|\\.)*)"')
"""Behind them a comment may stand."""
_BEFORE = re.compile(
    r"\s+|<!--.*?-->|</?(?!h[2-6]\b)[a-z][^>]*>|\[?!\[[^]]*\]\([^)]*\)(?:\]\([^)]*\))?",
    re.DOTALL | re.IGNORECASE,
)
"""White space, a comment, a tag, a picture or badge."""
_H1 = re.compile(r"<h1[^>]*>(.*?)</h1>", re.DOTALL | re.IGNORECASE)
_H1_END = re.compile(r"</h1>", re.IGNORECASE)
_ATX = re.compile(r" {0,3}#[ \t]+(.*)")
"""Its end is cut by hand: a pattern that also looks for closing marks tries every way to divide a run of spaces."""
_SETEXT = re.compile(r" {0,3}(\S.*(?:\n[ \t]*(?!=+\s*$)\S.*){0,3})\r?\n {0,3}=+[ \t]*\r?$", re.MULTILINE)


@final
class MarkdownReader(Reader):
    """Markdown, and what came without a name, which may be that."""

    def open(self, source: Source, *, encoding: str, tell: Tell) -> Document:
        return text_document(source, encoding, tell, markdown_title)


def markdown_title(start: str) -> str:
    """The title that the start of a text gives; "" where there is none.

    >>> markdown_title("The light\\n=========\\n"), markdown_title("Text.\\n\\n# Later\\n")
    ('The light', '')
    """
    at = 0
    for fence, titled in ((_YAML, _yaml_title), (_TOML, _toml_title)):
        if front := fence.match(start):
            if title := titled(front.group(1)):
                return title
            at = front.end()
    closed = max((end.start() for end in _H1_END.finditer(start)), default=0)  # behind it none is, and none is looked for
    while found := (_H1.match(start, at) if at < closed else None) or _BEFORE.match(start, at):
        if found.re is _H1 and (title := _one_line(html.unescape(_without_tags(found.group(1))))):
            return title
        at = found.end()
    line = start.rfind("\n", 0, at) + 1
    if start[line:at].strip():  # behind something on the same line no heading begins
        return ""
    if heading := _ATX.match(start, line):
        return _one_line(_without_closing_marks(heading.group(1)))
    heading = _SETEXT.match(start, line)
    return _one_line(heading.group(1)) if heading else ""


def _without_tags(text: str) -> str:
    end = text.rfind(">") + 1  # behind it no tag ends, and none is looked for
    return re.sub(r"<[^>]*>", " ", text[:end]) + text[end:]


def _without_closing_marks(line: str) -> str:
    """Marks close a heading only behind a space: "C#" keeps its own."""
    line = line.removesuffix("\r").rstrip(" \t")
    words = line.rstrip("#")
    return words if words.endswith((" ", "\t")) else line


def _yaml_title(front: str) -> str:
    if not (found := _YAML_TITLE.search(front)):
        return ""
    value = _one_line(re.sub(r"\A[>|][-+\d]*[ \t]*\r?\n", "", found.group(1)))
    if quoted := _SINGLE.match(value):
        return quoted[1].replace("''", "'")
    if quoted := _DOUBLE.match(value):
        try:
            said: str = json.loads(quoted[0])
            return _one_line(said.encode("utf-16", "surrogatepass").decode("utf-16", "replace"))  # half of a pair is no character
        except ValueError:  # an escape that YAML has and JSON has not
            return re.sub(r'\\(["\\])', r"\1", quoted[1])
    return re.sub(r"(?:\A|[ \t])#.*", "", value)


def _toml_title(front: str) -> str:
    try:
        title = tomllib.loads(front).get("title")
    except tomllib.TOMLDecodeError:
        return ""
    return _one_line(title) if isinstance(title, str) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
