"""Standard output and error that never fail on a character: what the locale cannot show comes out as `?`, or as its number on stderr.

In UTF-8 only names of files can hold what is no text; those bytes come out as numbers, in JSON in the form that JSON has for them.
"""

import io
import os
import sys


def open_streams() -> None:
    """Set up both streams; call once, before anything is printed or opened: what the caller has closed goes nowhere, and the next file that
    is opened does not get its number."""
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        try:
            os.fstat(number)
        except OSError:
            descriptor = os.open(os.devnull, os.O_RDWR)
            if descriptor != number:
                os.dup2(descriptor, number)
                os.close(descriptor)
        if number and getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 - as long as the process
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="surrogateescape")  # a question that is no text is refused as one
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace" if is_utf8(stream) or stream is sys.stderr else "replace")


def is_utf8(stream: object) -> bool:
    """Whether every text can be written to a stream."""
    return str(getattr(stream, "encoding", None) or "utf-8").lower().replace("_", "-") in ("utf-8", "utf8")
