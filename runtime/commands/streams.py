"""Standard output and error that never fail on a character: what the locale cannot show comes out as `?`, or as its number on stderr.

In UTF-8 only names of files can hold what is no text; those bytes come out as numbers, in JSON in the form that JSON has for them.
"""

import io
import sys


def open_streams() -> None:
    """Set up both streams; call once, before anything is printed."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if is_utf8(stream) or stream is sys.stderr else "replace")


def is_utf8(stream: object) -> bool:
    """Whether every text can be written to a stream."""
    return str(getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
