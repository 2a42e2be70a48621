"""What the operating system refuses, in one sentence, however a library has wrapped it. Knows nothing about commands."""

import errno
import os
import re

RUST = re.compile(r"\(os error (\d+)\)")
"""How libraries in Rust, such as safetensors, name an error number."""
AS_IT_WAS = "what was there before is as it was"
WORDS = {
    errno.ENOSPC: f"no space left on the disk; {AS_IT_WAS}: make room or choose another place, then give the same command again",
    errno.EDQUOT: f"your disk quota is used up; {AS_IT_WAS}: make room or choose another place, then give the same command again",
    errno.EFBIG: f"the file would be larger than is allowed here; {AS_IT_WAS}: choose another place",
    errno.EROFS: "this file system is read-only; choose another place",
    errno.EACCES: "you are not permitted to read or write there; choose another place, or ask its owner",
    errno.EPERM: "you are not permitted to do this there; choose another place, or ask its owner",
    errno.EIO: "the disk reports an error; look at its state before you go on",
    errno.EMFILE: "too many files are open in this process; raise the limit (ulimit -n)",
    errno.ENFILE: "too many files are open on this machine; close some programs",
}


def refusal(error: BaseException) -> str:
    """The sentence; empty where the operating system has refused nothing.

    >>> refusal(OSError(errno.ENOSPC, "No space left on device", "m/x"))[:40]
    'm/x: no space left on the disk; what was'
    >>> refusal(ValueError("other"))
    ''
    """
    number = error.errno if isinstance(error, OSError) else None
    if number is None and (found := RUST.search(str(error))):
        number = int(found[1])
    if number is None:
        return ""
    name = getattr(error, "filename", None)
    place = f"{os.fsdecode(name)}: " if isinstance(name, str | bytes) else ""
    if number in WORDS:
        return place + WORDS[number]
    return f"{place}{os.strerror(number)}" if isinstance(error, OSError) and error.strerror else ""


def was_interrupted(error: BaseException) -> bool:
    """Whether Ctrl-C is what a library has made another error of, as those in Rust do when they are interrupted while they call Python.

    >>> was_interrupted(TypeError("Error building `literal` serializer: KeyboardInterrupt:")), was_interrupted(TypeError("x"))
    (True, False)
    """
    found: BaseException | None = error
    while found is not None:
        if isinstance(found, KeyboardInterrupt) or re.search(r"KeyboardInterrupt:?\s*$", str(found)):
            return True
        found = found.__cause__ or (None if found.__suppress_context__ else found.__context__)
    return False
