"""Hostile folders: memories that somebody made who can compute every hash, one spoilt thing each. Knows no commands.

A case is a function of a memory's folder, which it changes. What may be changed so that a memory honestly says something else, such as the
text that was kept, is no case: hashes show damage, not tampering.
"""

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import safe_open
from safetensors.numpy import load_file, save_file
from safetensors.torch import load_file as load_tensors
from safetensors.torch import save_file as save_tensors

from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MEMORY, STATISTICS, TEXT, TEXT_CHUNKS, TEXT_INDEX, WRITTEN
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.record_file import OWN_HASH, own_hash
from nrem.memory.saved.regular import MOST_BYTES
from nrem.memory.text.index_file import ABOUT, hash_of

Case = Callable[[Path], object]
CHUNKS, INDEX, SECOND = f"{TEXT}/{TEXT_CHUNKS}", f"{TEXT}/{TEXT_INDEX}", f"segment-0001/{WRITTEN}"
FILES = (MEMORY, ADAPTER_CONFIG, ADAPTER_WEIGHTS, STATISTICS, CHUNKS, INDEX, SECOND)
WRONG: dict[str, Any] = {"null": None, "text": "x", "list": [], "negative": -1, "giant": 10**30, "flag": True}
"""Values of kinds that a key has not."""
KEYS = ("base", "protocol", "config", "seed", "documents", "chunks", "sleeps", "files", "segment_chunks", "question_chunks", "canary")


def cases() -> dict[str, Case]:
    """By name, always in the same order."""
    found: dict[str, Case] = {}
    for name in FILES:
        found |= {f"{name} is a {kind}": _of_kind(name, kind) for kind in ("link", "pipe", "folder", "giant", "missing", "empty")}
    for key in KEYS:
        found |= {f"{key} is {kind}": _record(_setting(key, value)) for kind, value in WRONG.items() if _is_wrong(key, value)}
    for name in ("/etc/passwd", "../memory/memory.json", "text/../../base/config.json", "nix", "segment-0001"):
        found[f"files names {name}"] = _record(_naming(name))
    found |= {f"config: {name}": _record(change) for name, change in _DECIDES.items()}
    found |= {f"chunks: {name}": _record(_first_chunk(new)) for name, new in _CHUNKS.items()}
    found |= {f"adapter_config: {name}": _adapter_config(new) for name, new in _ADAPTER.items()}
    for name in (ADAPTER_WEIGHTS, STATISTICS, SECOND):
        kinds = {kind: change for kind, change in _TENSORS.items() if name == STATISTICS or kind != "a negative rank"}
        found |= {f"{name}: {kind}": _tensors(name, change) for kind, change in kinds.items()}
    found |= {f"{name}: {kind}": _raw(name, data) for name in (ADAPTER_WEIGHTS, STATISTICS, INDEX) for kind, data in _HEADERS.items()}
    found |= {f"index: {kind}": _index(change) for kind, change in _INDEX.items()}
    found |= {f"memory.json: {kind}": _raw(MEMORY, data, rehash=False) for kind, data in _JSON.items()}
    found["base's folder with code inside"] = _plant
    return found


def change_record(folder: Path, change: Callable[[dict[str, Any]], object]) -> None:
    """Change `memory.json`, with the hash that it then needs."""
    values = json.loads((folder / MEMORY).read_text(encoding="utf-8"))
    values.pop(OWN_HASH)
    change(values)
    (folder / MEMORY).write_text(json_text(values | {OWN_HASH: own_hash(values)}), encoding="utf-8")


def _is_wrong(key: str, value: Any) -> bool:
    right = {"seed": value == -1, "documents": value == [], "segment_chunks": False, "question_chunks": False}
    return not right.get(key, False)


def _setting(key: str, value: Any) -> Callable[[dict[str, Any]], object]:
    return lambda values: values.update({key: value})


def _naming(name: str) -> Callable[[dict[str, Any]], object]:
    return lambda values: values["files"].update({name: "0" * 64})


def _first_chunk(new: dict[str, Any]) -> Callable[[dict[str, Any]], object]:
    return lambda values: values["chunks"][0].update(new)


def _record(change: Callable[[dict[str, Any]], object]) -> Case:
    return lambda folder: change_record(folder, change)


def _rehash(folder: Path, name: str) -> None:
    change_record(folder, lambda values: values["files"].update({name: sha256_file(folder / name)}))


def _of_kind(name: str, kind: str) -> Case:
    def spoil(folder: Path) -> None:
        path = folder / name
        if kind == "giant":
            os.truncate(path, MOST_BYTES[path.name] + 1)
            return
        path.rename(folder.parent / f"moved-{folder.name}")
        if kind == "link":
            path.symlink_to(folder.parent / f"moved-{folder.name}")
        elif kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
        elif kind == "empty":
            path.touch()

    return spoil


def _raw(name: str, data: bytes, *, rehash: bool = True) -> Case:
    def spoil(folder: Path) -> None:
        (folder / name).write_bytes(data)
        if rehash:
            _rehash(folder, name)

    return spoil


def _adapter_config(new: dict[str, Any]) -> Case:
    def spoil(folder: Path) -> None:
        path = folder / ADAPTER_CONFIG
        path.write_text(json.dumps(json.loads(path.read_text(encoding="utf-8")) | new), encoding="utf-8")
        _rehash(folder, ADAPTER_CONFIG)

    return spoil


def _tensors(name: str, change: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> Case:
    def spoil(folder: Path) -> None:
        with safe_open(folder / name, "pt") as file:
            about = file.metadata()
        save_tensors(change(load_tensors(folder / name)), folder / name, metadata=about)
        _rehash(folder, name)

    return spoil


def _index(change: Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]) -> Case:
    """With the hash of its content that it needs."""

    def spoil(folder: Path) -> None:
        with safe_open(folder / INDEX, "np") as file:
            stamp = file.metadata()[ABOUT].partition(" ")[2]
        arrays = change(load_file(folder / INDEX))
        save_file(arrays, folder / INDEX, metadata={ABOUT: f"{hash_of(arrays, stamp)} {stamp}"})
        _rehash(folder, INDEX)

    return spoil


def _plant(folder: Path) -> None:
    """A base inside the memory, whose code leaves a file beside it when it runs."""
    base = folder / "base"
    base.mkdir()
    code = f"open({str(folder.parent / 'ran')!r}, 'w').close()\nclass Thing: pass\n"
    (base / "planted.py").write_text(code, encoding="utf-8")
    mapped = {"auto_map": dict.fromkeys(("AutoConfig", "AutoModelForCausalLM", "AutoTokenizer"), "planted.Thing"), "model_type": "planted"}
    for name in ("config.json", "tokenizer_config.json"):
        (base / name).write_text(json.dumps(mapped), encoding="utf-8")
    change_record(folder, lambda values: values["config"]["model"].update(name=str(base)))


_DECIDES: dict[str, Callable[[dict[str, Any]], object]] = {
    "another base": lambda v: v["config"]["model"].update(name="/tmp/no-such-base"),
    "a hub's base": lambda v: v["config"]["model"].update(name="some/model"),
    "float16": lambda v: v["config"]["model"].update(dtype="fp16"),
    "packed": lambda v: v["config"]["model"].update(load_in="4bit"),
    "a protocol's folder": lambda v: v["config"]["protocol"].update(name="/etc"),
    "a file of curves": lambda v: v["config"]["sleep"].update(curves="/etc/passwd"),
    "endless answers": lambda v: v["config"]["answer"].update(max_new_tokens=10**9),
    "sleep again": lambda v: v["config"]["answer"].update(sleep_again=10**9, sure=2.0),
    "all questions at once": lambda v: v["config"]["answer"].update(batch_size=10**9),
    "another way": lambda v: v["config"]["answer"].update(way="read"),
    "endless passes": lambda v: v["config"]["sleep"].update(passes=10**9),
    "a giant rank": lambda v: v["config"]["fast_weights"].update(rank=10**9),
    "a long word": lambda v: v["config"]["fast_weights"].update(target="x" * 10**6),
    "no section": lambda v: v["config"].update(sleep=3),
    "a cap in words": lambda v: v["config"]["sleep"].update(budget_fet="much"),
    "an unknown key": lambda v: v["config"]["sleep"].update(run="me"),
    "deep": lambda v: v["config"].update(sleep={"passes": [[[[[]]]]]}),
}
_CHUNKS: dict[str, dict[str, Any]] = {
    "another index": {"index": 5},
    "a far segment": {"segment": 10**9},
    "a far sleep": {"sleep": 10**9},
    "ends before its start": {"start": 5, "end": 1},
    "looks short": {"recall": [1.0, 1.0, 1.0]},
    "one key too many": {"run": "me"},
    "text for a number": {"nll_after": "low"},
    "a giant number": {"passes": 10**400},
    "trillions of passes": {"passes": 2**40, "num_tokens": 2**50, "looked_at": [0, 2**40], "recall": [0.0, 1.0], "nll": [1.0, 1.0]},
}
_ADAPTER: dict[str, dict[str, Any]] = {
    "slow pattern to exclude": {"exclude_modules": "(a+)+$"},
    "slow pattern for targets": {"target_modules": "(.*)+x"},
    "slow pattern of ranks": {"rank_pattern": {"(a+)+$": 3}},
    "auto mapping": {"auto_mapping": {"parent_library": "os", "base_model_class": "system"}},
    "another kind": {"peft_type": "PROMPT_TUNING"},
    "work at opening": {"init_lora_weights": "pissa"},
    "other modules saved": {"modules_to_save": ["lm_head"]},
    "a giant rank": {"r": 10**9, "lora_alpha": 10**9},
    "no modules": {"target_modules": []},
    "a million modules": {"target_modules": ["model.layers.0.mlp.down_proj"] * 10**6},
}
_TENSORS: dict[str, Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]] = {
    "NaN": lambda t: {key: torch.full_like(a, torch.nan) if a.is_floating_point() else a for key, a in t.items()},
    "infinity": lambda t: {key: torch.full_like(a, torch.inf) if a.is_floating_point() else a for key, a in t.items()},
    "one short": lambda t: dict(list(t.items())[1:]),
    "other shapes": lambda t: {key: torch.ones(3, 3) for key in t},
    "no shapes": lambda t: {key: torch.tensor(1.0) for key in t},
    "whole numbers": lambda t: {key: torch.zeros(a.shape, dtype=torch.int64) for key, a in t.items()},
    "a negative rank": lambda t: t | {"solve/reader_rank": torch.tensor(-5)},
}


def _with_header(header: bytes, data: bytes = b"") -> bytes:
    return len(header).to_bytes(8, "little") + header + data


_HEADERS = {
    "terabytes": _with_header(b'{"a":{"dtype":"F32","shape":[1000000000000],"data_offsets":[0,4000000000000]}}'),
    "a header of exabytes": b"\xff" * 8 + b"{}",
    "overlapping": _with_header(
        b'{"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"F32","shape":[2],"data_offsets":[0,8]}}', bytes(8)
    ),
    "a pickle": b"\x80\x04\x95cos\nsystem\n(S'true'\ntR.",
}
_INDEX: dict[str, Callable[[dict[str, np.ndarray]], dict[str, np.ndarray]]] = {
    "a billion windows": lambda a: a | {"counts": a["counts"] * 0 + 10**9},
    "a count short": lambda a: a | {"counts": a["counts"][:-1]},
    "points outside": lambda a: a | {"chunks.indices": a["chunks.indices"] + 10**6},
    "points before": lambda a: a | {"windows.indices": a["windows.indices"] - 10**6},
    "NaN": lambda a: a | {"chunks.data": a["chunks.data"] * np.float32("nan")},
    "no terms": lambda a: a | {"chunks.terms": np.frombuffer(b"{}", dtype=np.uint8)},
}
_JSON = {
    "deep": b"[" * 10**6,
    "no object": b"[]",
    "no JSON": b"\x80\x04\x95",
    "NaN": b'{"schema_version": NaN}',
    "a newer schema": b'{"schema_version": 999}',
    "an endless number": b'{"schema_version": ' + b"9" * 10**5 + b"}",
    "nothing of it": b'{"schema_version": 1}',
}
