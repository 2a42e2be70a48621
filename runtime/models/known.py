"""The user's own register of base models and protocols: under which name, or in which folder, each was last loaded here.

A memory says by hashes what it needs, and never where to find it: what is loaded is what the user once named. Imports no model library.
"""

from contextlib import suppress
from pathlib import Path
from typing import Any

from nrem.memory.saved.atomic import write_text
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.runtime.models.cache import cache_folder
from nrem.runtime.models.source import DEFAULT

BASES, PROTOCOLS = "bases.json", "protocols.json"
KEYS = ("name", "load_in", "revision")
DEFAULT_WEIGHTS = "2ec451dc154bde61a440e615468ea38c0c9ee8bcdf869df9b02f884e528864d2"
"""Hash of the weights of the default model, as memories record it."""


def remember_base(base: BaseIdentity, settings: dict[str, str]) -> None:
    """Note how a base was loaded: `name`, `load_in` and `revision`, as in the configuration. Folders and files become absolute."""
    name = settings["name"]
    if name != DEFAULT:
        _note(BASES, _key(base), settings | {"name": str(Path(name).resolve()) if Path(name).exists() else name})


def recall_base(base: BaseIdentity) -> dict[str, Any] | None:
    """The settings of the section `model` under which this base was last loaded here; the default model is always known."""
    values = _read(BASES).get(_key(base))
    if isinstance(values, dict) and all(isinstance(values.get(key), str) for key in KEYS):
        path = Path(values["name"])
        if path.exists() or not path.is_absolute():
            return {key: values[key] for key in KEYS}
    return {"name": DEFAULT} if base.weights_sha256 == DEFAULT_WEIGHTS else None


def remember_protocol(sha256: str, folder: Path) -> None:
    """Note where a protocol lies that the user named by its folder."""
    _note(PROTOCOLS, sha256, str(folder.resolve()))


def recall_protocol(sha256: str) -> Path | None:
    """The folder of the protocol with this hash, if it is still there."""
    folder = _read(PROTOCOLS).get(sha256)
    return Path(folder) if isinstance(folder, str) and Path(folder).is_dir() else None


def _key(base: BaseIdentity) -> str:
    return " ".join((base.weights_sha256, base.config_sha256, base.tokenizer_sha256, base.chat_template_sha256))


def _note(book: str, key: str, value: Any) -> None:
    known = _read(book)
    if known.get(key) == value:
        return
    with suppress(OSError):  # a folder that cannot be written to: the user is asked for the name again
        path = cache_folder() / book
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, json_text(known | {key: value}, indent=2) + "\n")


def _read(book: str) -> dict[str, Any]:
    try:
        values = parse_json((cache_folder() / book).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return values if isinstance(values, dict) else {}
