"""Plain: text of a document or a model made safe for a terminal. What it says stays; what would move the cursor or hide text goes.

For people only: `--json` gives texts as they are. Knows nothing about memories.
"""

import re
import unicodedata

from rich.text import Text

from nrem.memory.errors import CONTROL, HIDING

SEQUENCE = re.compile(
    r"(?:\x1b\[|\x9b)[0-?]*[ -/]*[@-~]"  # colours, cursor
    r"|(?:\x1b[\]PX^_]|[\x90\x98\x9d-\x9f])[^\x07\x1b\x9c]*(?:\x07|\x1b\\|\x9c)"  # window titles, links, up to their end
    r"|\x1b[ -/]*[0-~]"
)
SPACE = re.compile("[\t\n\r\v\f\x1c-\x1f\x85\u2028\u2029]+")


def plain(text: str) -> str:
    """One line without control characters and escape sequences; tabs and line ends become a space.

    >>> plain("a\\tb\\x1b[31m red\\x1b[0m \\x07bell\\x9b2J")
    'a b red bell'
    """
    return "".join(c for c in SPACE.sub(" ", SEQUENCE.sub("", text)) if unicodedata.category(c) not in CONTROL and c not in HIDING)


def cell(text: str, style: str = "") -> Text:
    """The same for a table of rich: square brackets are text, too."""
    return Text(plain(text), style=style)
