"""A trained protocol as a folder: `protocol.json`, its tensors in safetensors files of at most 16 MB, and a card.

The protocol of the default model comes with nrem and is found by the hash of the base model's weights; any other is named by its folder.
"""

import os
import re
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor

from nrem.consolidation.allocate.curves import CurveTable
from nrem.consolidation.protocol.asker_file import ASKER, load_asker
from nrem.consolidation.protocol.card import protocol_card
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.consolidation.protocol.parameter_files import adopt, load_parameters
from nrem.consolidation.protocol.protocol import Protocol
from nrem.consolidation.write.learned import LearnedWrite, Sizes
from nrem.consolidation.write.rules import RULES, trainable
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, MissingFileError, SleepError, UsageError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.atomic import sha256_file
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.json_text import json_text, parse_json
from nrem.memory.saved.own import check_keepable
from nrem.memory.saved.replace import replace_folder

PROTOCOL = "protocol.json"
CEILING, CURVES, CONFIDENCE = "ceiling.json", "curves.json", "confidence.json"
"""What `nrem ceiling` measured, where it was told to leave it with the protocol."""
SCHEMA_VERSION = 3
"""2: the ridge rule writes in the whole input space of a module, and a reader may sit on further modules. 3: there is a scribe; protocols
without one are saved as 2."""
DIRECTIONS = ".directions"
"""Of C_0, which stays positive definite however they are rounded: by far its largest tensor, saved in bf16. The rest of it stays exact."""
OLD_NAMES = {"ridge": "keyed"}
"""What rules were called in schema 1."""
FILE_BYTES = 15_000_000
_MEASURED = "|".join(map(re.escape, (CEILING, CURVES, CONFIDENCE, ASKER)))
_OWN = re.compile(rf"{re.escape(PROTOCOL)}|README\.md|protocol-\d+-of-\d+\.safetensors|{_MEASURED}")


def shipped() -> list[Path]:
    """Folders of the protocols that come with nrem."""
    root = Path(str(resources.files("nrem.configs"))) / "protocols"
    return sorted(path.parent for path in root.glob(f"*/{PROTOCOL}"))


def find_protocol(name: str, tokenizer: Any, base: BaseIdentity, device: torch.device) -> Protocol:
    """`untrained`, the name of a rule that learns nothing beforehand or of a protocol that comes with nrem, or a protocol's folder."""
    if name == "untrained":
        return Protocol(tokenizer)
    if name in RULES and RULES[name].learned is None:
        return Protocol(tokenizer, id=name, rule=name)
    return load_protocol(named_folder(name), tokenizer, base, device)


def named_folder(name: str | Path) -> Path:
    """The folder of this name, or else that of the protocol which comes with nrem under it."""
    folder = Path(name)
    return folder if folder.exists() else next((f for f in shipped() if f.name == str(name)), folder)


def shipped_for(base: BaseIdentity) -> Path | None:
    """The folder of the protocol that comes with nrem for exactly this base model."""
    return next((f for f in shipped() if _read(f)["base"]["weights_sha256"] == base.weights_sha256), None)


def retired_folder() -> Path:
    """Where what is left of protocols lies that came with earlier versions."""
    return Path(str(resources.files("nrem.configs"))) / "protocols" / "retired"


def retired_protocol(sha256: str, tokenizer: Any) -> Protocol | None:
    """The words and the calibration of a protocol that nrem no longer ships, for memories that were made with it: they hold all else that
    answers need. None where it is not one of these."""
    for path in sorted(retired_folder().glob("*.json")):
        values = parse_json(path.read_text(encoding="utf-8"))
        if values["sha256"] == sha256:
            confidence = Confidence.from_json(json_text(values["confidence"]), str(path))
            kept = ("id", "rule", "template", "trained_passes", "question_chunks", "segment_chunks", "weights_sha256")
            return Protocol(
                tokenizer, **{key: values[key] for key in kept}, kept_energy=values.get("kept_energy", 1.0), confidence=confidence
            )
    return None


def save_protocol(folder: Path, protocol: Protocol, base: BaseIdentity, about: Mapping[str, Any]) -> Path:
    """Write the folder, whole or not at all; `about` is kept as it is (data, minutes, figures). Raises `SleepError` where what was learned
    is not finite."""
    assert protocol.learned is not None
    learned = dict(protocol.learned.named_parameters()) | dict(protocol.learned.named_buffers())
    check_finite_tensors(
        learned, f"{folder}: what was learned", SleepError, "nothing was saved: train again by smaller steps (--set step_size=X)"
    )
    folder.parent.mkdir(parents=True, exist_ok=True)
    made = Path(tempfile.mkdtemp(prefix=f".{folder.name}.", dir=folder.parent))
    try:
        made.chmod(0o755)
        rounded = {name: p.detach().to(torch.bfloat16) for name, p in protocol.learned.named_parameters()}
        measured = {name: b.detach() for name, b in protocol.learned.named_buffers()}
        measured |= {name: b.to(torch.bfloat16) for name, b in measured.items() if name.endswith(DIRECTIONS)}
        tensors = {name: t.to("cpu").contiguous() for name, t in {**rounded, **measured}.items()}
        parts: list[dict[str, Tensor]] = [{}]
        for name, tensor in tensors.items():
            if parts[-1] and sum(t.nbytes for t in parts[-1].values()) + tensor.nbytes > FILE_BYTES:
                parts.append({})
            parts[-1][name] = tensor
        for number, part in enumerate(parts, 1):
            save_file(part, made / f"protocol-{number:05d}-of-{len(parts):05d}.safetensors", metadata={"format": "pt"})
        sizes = protocol.learned.sizes
        values = {
            "schema_version": SCHEMA_VERSION if sizes.scribe_rank else 2,
            "id": protocol.id,
            "rule": protocol.rule,
            "template": protocol.template,
            "trained_passes": protocol.trained_passes,
            "segment_chunks": protocol.segment_chunks,
            "question_chunks": protocol.question_chunks,
            "kept_energy": protocol.kept_energy,
            "base": base.to_dict(),
            "rank": sizes.rank,
            "reader_rank": sizes.reader_rank,
            "scribe_rank": sizes.scribe_rank,
            "error_vocabulary": sizes.error_vocabulary,
            "modules": {name: list(shape) for name, shape in sizes.modules.items()},
            "readers": {name: list(shape) for name, shape in sizes.readers.items()},
            "d_model": sizes.d_model,
            "files": {path.name: sha256_file(path) for path in sorted(made.glob("*.safetensors"))},
            "about": dict(about),
        }
        (made / PROTOCOL).write_text(json_text(values, indent=2) + "\n", encoding="utf-8")
        (made / "README.md").write_text(protocol_card(values), encoding="utf-8")
        check_protocol_target(folder, replace=True)
        replace_folder(made, folder, of_protocol)
    except BaseException:
        shutil.rmtree(made, ignore_errors=True)
        raise
    return folder


def of_protocol(name: str) -> bool:
    """Names of the files of a protocol; what was measured of an older one goes with it."""
    return _OWN.fullmatch(name) is not None


def check_protocol_target(folder: Path, *, replace: bool) -> None:
    """Raise `UsageError` where something else is, or, unless it may be replaced, a protocol; what else is in a protocol's folder stays."""
    if not os.path.lexists(folder) or (folder.is_dir() and not any(folder.iterdir())):
        return
    if folder.is_symlink():
        raise UsageError(f"{folder}: is a symbolic link; name the folder that it points to, {folder.resolve()}")
    if not (folder / PROTOCOL).is_file():
        raise UsageError(f"{folder}: exists and is not a protocol; choose another name, nrem does not overwrite it")
    if not replace:
        raise UsageError(f"{folder}: a protocol is already there, and no training of it to go on with; choose another name")
    check_keepable(folder, of_protocol)


def load_protocol(folder: Path, tokenizer: Any, base: BaseIdentity, device: torch.device) -> Protocol:
    """Read a folder; refuses another base model's, a changed file and a newer schema."""
    values = _read(folder)
    theirs = BaseIdentity.from_dict(values["base"])
    if problem := theirs.mismatch(base):
        raise BaseMismatchError(
            f"{folder}: this protocol was trained on {theirs.short()}, got {base.short()} ({problem}): load that model, or train a new one"
        )
    rule = _rule_of(values)
    if rule not in trainable():
        raise MemoryFolderError(f"{folder / PROTOCOL}: rule {rule!r}, this nrem knows {', '.join(trainable())}: upgrade nrem")
    sizes = Sizes(
        modules={name: (int(i), int(o)) for name, (i, o) in values["modules"].items()},
        readers={name: (int(i), int(o)) for name, (i, o) in values.get("readers", {}).items()},
        d_model=values["d_model"],
        rank=values["rank"],
        reader_rank=values["reader_rank"],
        scribe_rank=values.get("scribe_rank", 0),
        error_vocabulary=values["error_vocabulary"],
        max_passes=values["trained_passes"],
    )
    learned = trainable()[rule].create(sizes)
    load_parameters(folder, values["files"], learned)
    protocol = Protocol(
        tokenizer,
        id=values["id"],
        rule=rule,
        template=values["template"],
        trained_passes=values["trained_passes"],
        segment_chunks=values["segment_chunks"],
        question_chunks=values.get("question_chunks", 0),
        kept_energy=values.get("kept_energy", 1.0),
        learned=learned.to(device).requires_grad_(False),
        asker=load_asker(folder, base, device),
        weights_sha256="".join(values["files"].values()),
    )
    return with_calibration(protocol, folder)


def with_calibration(protocol: Protocol, folder: Path) -> Protocol:
    """The protocol with what `nrem ceiling` left in a folder; unchanged where there is nothing."""
    if (path := folder / CEILING).exists():
        protocol = replace(protocol, ceiling=Ceiling.from_json(path.read_bytes(), str(path)))
    if (path := folder / CURVES).exists():
        protocol = replace(protocol, curves=read_curves(path))
    if (path := folder / CONFIDENCE).exists():
        protocol = replace(protocol, confidence=Confidence.from_json(path.read_bytes(), str(path)))
    return protocol


def read_curves(path: Path) -> CurveTable:
    """A table of curves as `nrem ceiling` writes it."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; measure curves with nrem ceiling, and name the file that it writes")
    return CurveTable.from_json(path.read_bytes(), str(path))


def adopt_parameters(folder: Path, parameters: LearnedWrite[Any]) -> set[str]:
    """Take of a folder's learned values what has a place here: `adopt` of its files. Raises `MemoryFolderError` where nothing fits."""
    values = _read(folder)
    return adopt(folder, values, parameters, same_rule=isinstance(parameters, trainable()[_rule_of(values)]))


def training_of(folder: Path) -> dict[str, Any]:
    """Keys and values of the training that a folder's protocol went through; none where there is no protocol, or that was not kept."""
    about = _read(folder).get("about") if (folder / PROTOCOL).is_file() else None
    training = about.get("training") if isinstance(about, dict) else None
    return training if isinstance(training, dict) else {}


def _rule_of(values: Mapping[str, Any]) -> str:
    return str(OLD_NAMES.get(values["rule"], values["rule"]) if values["schema_version"] == 1 else values["rule"])


def _read(folder: Path) -> dict[str, Any]:
    path = folder / PROTOCOL
    if not path.exists():
        raise MissingFileError(f"{folder}: no protocol there ({PROTOCOL} is missing); name a protocol's folder or one that comes with nrem")
    try:
        values: dict[str, Any] = parse_json(path.read_text(encoding="utf-8"))
        version = values["schema_version"]
    except (ValueError, KeyError, TypeError) as error:
        raise MemoryFolderError(f"{path}: damaged ({error!r}); restore the file") from None
    if version > SCHEMA_VERSION:
        raise MemoryFolderError(f"{path}: schema version {version}, this nrem reads up to {SCHEMA_VERSION}: upgrade nrem")
    return values
