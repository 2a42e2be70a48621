"""`--prompts FILE`: wordings of a question, one a line, as a text file has them. Knows nothing about models.

    {question}
    According to the text, {question}
    {question} Answer with a name, a date or a number.

Blank lines and lines that begin with # do not count. The protocol's own wording, `{question}`, is tried in any case.
"""

from pathlib import Path

from nrem.consolidation.prompts import OWN_WORDING, check_wording
from nrem.memory.errors import MissingFileError, UsageError


def read_wordings(path: str | Path) -> list[str]:
    """The wordings of a file, the protocol's own first; raises `MissingFileError`, and `UsageError` naming the line."""
    path = Path(path)
    if not path.is_file():
        raise MissingFileError(f"--prompts {path}: no such file; give a text file with a wording a line, such as: {OWN_WORDING} In short:")
    try:
        lines = path.read_text(encoding="utf-8-sig").splitlines()
    except UnicodeDecodeError:
        raise UsageError(f"--prompts {path}: not UTF-8 text; save it as UTF-8") from None
    found = [OWN_WORDING]
    for number, line in enumerate(lines, 1):
        if line.strip() and not line.startswith("#"):
            found.append(check_wording(line.strip(), f"--prompts {path} line {number}"))
    return list(dict.fromkeys(found))
