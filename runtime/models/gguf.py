"""GGUF files: unpacked once into plain weights by transformers' own reader, and kept by the hash of the file.

Unpacking takes minutes. The weights are kept as bfloat16, so that a model has the same weights in whatever float type it runs later.
"""

import re
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer, PreTrainedModel

from nrem.memory.errors import ModelError
from nrem.memory.saved.atomic import sha256_file, write_text
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.runtime.models.cache import cache_folder, made_once, stamp

ORIGIN = "nrem-origin.json"
OWN_PAGE = ("general.source.huggingface.repository", "general.source.repo_url", "general.repo_url")
"""Keys that name the very model that the file was made from."""
PARENT_PAGE = "general.base_model.0.repo_url"
"""Names what the model was trained from, and by some converters the model itself."""
_HUB_PAGE = re.compile(r"(?:https?://huggingface\.co/)?([\w.-]+)/([\w.-]+?)/?")


@dataclass(frozen=True)
class Unpacked:
    """A GGUF file as a transformers folder."""

    folder: Path
    hub_name: str
    """The Hugging Face id that the file says it was made from; empty where it says none."""
    source: str
    """File and hash, for a memory's card."""


def unpacked(path: Path) -> Unpacked:
    """The folder of a GGUF file; made when a file of this content is first used.

    Raises `ModelError` for a file that is missing, damaged or of a kind that cannot be unpacked.
    """
    if not path.is_file():
        raise ModelError(f"{path}: no such GGUF file; give the path of an existing one")
    digest = _known_sha256(path)
    kept = cache_folder() / "gguf" / digest[:16]  # one folder for every name of the file
    folder = next((f for f in sorted(kept.glob("[!.]*")) if f.is_dir()), kept / path.stem)
    made_once(folder, lambda made: _unpack(path, digest, made), f"the model unpacked from {path.name}")
    origin = parse_json((folder / ORIGIN).read_text(encoding="utf-8"))
    return Unpacked(folder, origin["hub_name"], f"the GGUF file {path.name} (sha256 {digest[:12]}), unpacked to bfloat16")


def read_gguf(path: Path, dtype: torch.dtype | str) -> tuple[PreTrainedModel, Any]:
    """Unpack a GGUF file into plain weights."""
    options: dict[str, Any] = {"gguf_file": path.name, "dtype": dtype, "trust_remote_code": False}
    try:
        from transformers import GgufConfig  # newer versions keep the weights packed unless told otherwise

        options["quantization_config"] = GgufConfig(dequantize=True)
    except ImportError:
        pass
    try:
        tokenizer = AutoTokenizer.from_pretrained(path.parent, gguf_file=path.name, trust_remote_code=False)
        model = AutoModelForCausalLM.from_pretrained(path.parent, **options)
    except Exception as error:
        raise ModelError(f"{path}: transformers cannot read this GGUF file ({first_line(error)}); convert it to a folder first") from error
    if any(not torch.isfinite(p).all() for p in model.parameters()):
        raise ModelError(f"{path}: unpacked weights are not finite; the file is damaged or of a kind that cannot be unpacked")
    return model, tokenizer


def hub_name(fields: dict[str, str]) -> str:
    """The Hugging Face id among the metadata of a GGUF file; empty where none is sure. `general.name` is a title, not an id.

    >>> hub_name({"general.name": "Tiny 1B Chat", "general.base_model.0.repo_url": "https://huggingface.co/some/Tiny-1B"})
    ''
    >>> hub_name({"general.name": "Tiny 1B Chat", "general.source.repo_url": "https://huggingface.co/some/Tiny-1B-Chat"})
    'some/Tiny-1B-Chat'
    """
    for key in OWN_PAGE:
        if found := _HUB_PAGE.fullmatch(fields.get(key, "")):
            return "/".join(found.groups())
    parent = _HUB_PAGE.fullmatch(fields.get(PARENT_PAGE, ""))
    if parent and _letters(parent.group(2)) == _letters(fields.get("general.name", "")):
        return "/".join(parent.groups())
    return ""


def first_line(error: BaseException) -> str:
    """What an error of a library says first, at most 200 characters."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def _unpack(path: Path, digest: str, folder: Path) -> None:
    model, tokenizer = read_gguf(path, dtype="bfloat16")
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    origin = {"file": path.name, "sha256": digest, "hub_name": hub_name(_metadata(path))}
    (folder / ORIGIN).write_text(json_text(origin, indent=2) + "\n", encoding="utf-8")


def _metadata(path: Path) -> dict[str, str]:
    """The texts among the file's general metadata."""
    from gguf import GGUFReader

    fields = GGUFReader(path).fields
    values = {name: field.contents() for name, field in fields.items() if name.startswith("general.")}
    return {name: value for name, value in values.items() if isinstance(value, str)}


def _known_sha256(path: Path) -> str:
    """The hash of a file, computed again only when its size or time of change differ."""
    book, key, now = cache_folder() / "gguf" / "hashes.json", str(path.resolve()), stamp(path)
    try:
        known: dict[str, Any] = parse_json(book.read_text(encoding="utf-8"))
        if known[key]["stamp"] == now:
            return str(known[key]["sha256"])
    except (OSError, ValueError):
        known = {}
    except (KeyError, TypeError):
        known = known if isinstance(known, dict) else {}
    digest = sha256_file(path)
    with suppress(OSError):
        book.parent.mkdir(parents=True, exist_ok=True)
        write_text(book, json_text(known | {key: {"stamp": now, "sha256": digest}}, indent=2) + "\n")
    return digest


def _letters(title: str) -> str:
    return "".join(character for character in title.casefold() if character.isalnum())
