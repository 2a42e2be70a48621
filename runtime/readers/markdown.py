"""Markdown: read exactly as it is; its title is the one that its start gives, in any of the forms that people write.

These are front matter (YAML, TOML), `# Title`, a line over `=====`, and `<h1>` in HTML; what may stand before them is white space, comments
and HTML without text, such as a logo.
"""

import html
import re
import tomllib
from typing import final

from nrem.runtime.readers.document import Document, Reader, Tell
from nrem.runtime.readers.source import Source
from nrem.runtime.readers.text import text_document

_YAML = re.compile(r"---[ \t]*\r?\n(.*?)^(?:---|\.\.\.)[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_TOML = re.compile(r"\+\+\+[ \t]*\r?\n(.*?)^\+\+\+[ \t]*\r?$\n?", re.DOTALL | re.MULTILINE)
_YAML_TITLE = re.compile(r"^title[ \t]*:[ \t]*(.*(?:\n[ \t]+\S.*)*)", re.MULTILINE | re.IGNORECASE)
_BEFORE = re.compile(
    r"\s+|<!--.*?-->|<h1[^>]*>(?P<h1>.*?)</h1>|</?(?!h[2-6]\b)[a-z][^>]*>|\[?!\[[^]]*\]\([^)]*\)(?:\]\([^)]*\))?",
    re.DOTALL | re.IGNORECASE,
)
"""White space, a comment, a heading in HTML, another tag, a picture or badge."""
_ATX = re.compile(r" {0,3}#[ \t]+(.*?)(?:[ \t]+#+)?[ \t]*\r?$", re.MULTILINE)
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
    while before := _BEFORE.match(start, at):
        if before["h1"] and (title := _one_line(html.unescape(re.sub(r"<[^>]*>", " ", before["h1"])))):
            return title
        at = before.end()
    line = start.rfind("\n", 0, at) + 1
    if start[line:at].strip():  # behind something on the same line no heading begins
        return ""
    heading = _ATX.match(start, line) or _SETEXT.match(start, line)
    return _one_line(heading.group(1)) if heading else ""


def _yaml_title(front: str) -> str:
    if not (found := _YAML_TITLE.search(front)):
        return ""
    value = _one_line(re.sub(r"\A[>|][-+\d]*[ \t]*\r?\n", "", found.group(1)))
    if len(value) > 1 and value[0] == value[-1] == "'":
        return value[1:-1].replace("''", "'")
    if len(value) > 1 and value[0] == value[-1] == '"':
        return re.sub(r'\\(["\\])', r"\1", value[1:-1])
    return re.sub(r"(?:\A|[ \t])#.*", "", value)


def _toml_title(front: str) -> str:
    try:
        title = tomllib.loads(front).get("title")
    except tomllib.TOMLDecodeError:
        return ""
    return _one_line(title) if isinstance(title, str) else ""


def _one_line(text: str) -> str:
    return " ".join(text.split())
