"""What the libraries say by themselves, kept off the terminal: the one place for it. Import and call before the first heavy import.

It also lets them start sooner: they make millions of objects that stay, which the garbage collector would look through again and again.

A setting that the user has made in the environment wins, and `NREM_DEBUG=1` lets everything through. Knows nothing about nrem's own output.
"""

import gc
import logging
import os
import sys
import warnings

SETTINGS = {
    "HF_HUB_DISABLE_PROGRESS_BARS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "TRANSFORMERS_NO_ADVISORY_WARNINGS": "1",
    "TRANSFORMERS_VERBOSITY": "error",
}
COLLECT = (50_000, 20, 20)
"""Objects, and collections, between two collections of each generation; a fifth less time for torch and transformers to be imported."""
LOGGERS = ("bitsandbytes", "torch", "transformers", "peft", "huggingface_hub")


def debugging() -> bool:
    """Whether tracebacks and library messages are wanted."""
    return os.environ.get("NREM_DEBUG", "") not in ("", "0")


def quiet() -> None:
    """Only nrem's own warnings are shown from here on, one line each."""
    gc.set_threshold(*COLLECT)
    if debugging():
        return
    for name, value in SETTINGS.items():
        os.environ.setdefault(name, value)
    for name in LOGGERS:  # bitsandbytes, for one, logs a missing optional kernel at import
        logging.getLogger(name).setLevel(logging.ERROR)
    warnings.simplefilter("ignore")
    warnings.filterwarnings("default", message="nrem: ")
    warnings.showwarning = _show


def _show(message: Warning | str, *details: object, **more: object) -> None:
    print(message, file=sys.stderr)
