"""The errors of nrem: one root, each child also the builtin that a caller expects.

A message says what, where, got, expected, and what to do, in one line: what it quotes may come from a stranger's file.
"""

import unicodedata

CONTROL = frozenset(("Cc", "Cs", "Zl", "Zp"))
"""Categories of characters that would break a line, command the terminal, or are no text."""
HIDING = frozenset("\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069")
"""Characters that turn the direction of what follows."""


class NremError(Exception):
    """Root of everything that nrem raises on purpose."""

    def __init__(self, *args: object) -> None:
        super().__init__(*(one_line(arg) if isinstance(arg, str) else arg for arg in args))


class UsageError(NremError, ValueError):
    """A setting, flag or argument is wrong; the command line exits with 2."""


class ConfigError(UsageError):
    """A configuration key or value is wrong."""


class BudgetError(UsageError):
    """A budget cannot be read or cannot pay for the least that is needed."""


class MissingFileError(UsageError, FileNotFoundError):
    """A path that was given does not exist."""

    def __str__(self) -> str:
        return str(self.args[0]) if self.args else ""


class DocumentError(NremError, ValueError):
    """A document is empty, binary or cannot be decoded."""


class ModelError(NremError, RuntimeError):
    """A model cannot be loaded or lacks what is needed."""


class MemoryFolderError(NremError, ValueError):
    """A saved memory is damaged, truncated or of a newer schema."""


class InUseError(NremError, RuntimeError):
    """Another process or thread writes into the same memory."""


class BaseMismatchError(MemoryFolderError):
    """A memory was made for another base model."""


class SleepError(NremError, RuntimeError):
    """A sleep cannot go on."""


def one_line(text: str) -> str:
    r"""A text with line breaks, control characters and those that hide text as Python would write them.

    >>> one_line("got a\nb")
    'got a\\nb'
    """
    return "".join(ascii(c)[1:-1] if unicodedata.category(c) in CONTROL or c in HIDING else c for c in text)
