"""What the libraries say by themselves, kept off the terminal: the one place for it. Import and call before the first heavy import.

A setting that the user has made in the environment wins, and `NREM_DEBUG=1` lets everything through. Knows nothing about nrem's own output.
"""

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
LOGGERS = ("bitsandbytes", "torch", "transformers", "peft", "huggingface_hub")


def debugging() -> bool:
    """Whether tracebacks and library messages are wanted."""
    return os.environ.get("NREM_DEBUG", "") not in ("", "0")


def quiet() -> None:
    """Only nrem's own warnings are shown from here on, one line each."""
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
