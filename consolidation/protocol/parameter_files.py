"""The learned values of a protocol's folder: taken whole by a protocol that is loaded, or as far as they fit by one that is trained on."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from nrem.consolidation.write.learned import LearnedWrite
from nrem.memory.errors import MemoryFolderError
from nrem.memory.finite import check_finite_tensors
from nrem.memory.saved.atomic import sha256_file

READER = ("reader_A", "reader_B")
"""The factors of a static reader, and of a scribe."""
UNIT = "unit"
"""What protocols have had since 2026-11-27; those from before have their gains in ones."""
ASKED = ".asked."
"""In what is called so: what is learned of dreams, which protocols from before there were any do not have."""
BY_RULE = ("log_mu",)
"""What means something else under another rule: tokens of ordinary text are counted against keys, or against inputs."""


def load_parameters(folder: Path, files: Mapping[str, str], parameters: LearnedWrite[Any]) -> None:
    """Take the learned values of a folder's files, by name and hash; raises `MemoryFolderError` where one is damaged or a shape differs."""
    try:
        later = {name: value for name, value in parameters.state_dict().items() if name.endswith(f".{UNIT}") or ASKED in name}
        parameters.load_state_dict(later | _tensors(folder, files))
    except RuntimeError as error:
        raise MemoryFolderError(
            f"{folder}: its parameters do not fit ({str(error).splitlines()[-1].strip()}); give the same rank and layers"
        ) from None


@torch.no_grad()
def adopt(folder: Path, values: Mapping[str, Any], parameters: LearnedWrite[Any], *, same_rule: bool) -> set[str]:
    """Take of a folder's learned values what has a place here: by module and name, where shapes agree. Rule, rank and layers may be others
    than `values` say; a reader or a scribe of another rank is cut to this one. Gives the modules that write as the folder's do; the others
    begin with nothing learned. Raises `MemoryFolderError` where nothing fits."""
    theirs = _tensors(folder, values["files"])
    writing, reading = list(values["modules"]), list(values.get("readers", {}))
    places = {name: f"_sites.{i}" for i, name in enumerate(writing)} | {name: f"_readers.{i}" for i, name in enumerate(reading)}
    scribe_places = {name: f"_scribe.{i}" for i, name in enumerate([*writing, *reading])}
    scribe, taken, writes = parameters.scribe, 0, set[str]()
    for name, site in parameters.everywhere():
        given = {k: v for k in dict(site.named_parameters()) if name in places and (v := theirs.get(f"{places[name]}.{k}")) is not None}
        if given and site.d_in == given[READER[0]].shape[1] and site.d_out == len(given[READER[1]]):
            site.take_reader(*(given[key] for key in READER))
            taken += 1
            factors = [theirs[key] for part in READER if (key := f"{scribe_places[name]}.{part}") in theirs]
            if factors and name in scribe:
                scribe[name].take_reader(*factors)
        if same_rule and (unit := theirs.get(f"{places.get(name)}.{UNIT}")) is not None:
            parameters.take_units({name: float(unit)})
        for key, mine in site.named_parameters():
            if key in given and key not in READER and given[key].shape == mine.shape and (same_rule or key not in BY_RULE):
                mine.copy_(given[key])
                taken += 1
                writes.add(name)
    if not taken:
        raise MemoryFolderError(f"{folder}: none of its parameters fit; give the same model and reader rank")
    return writes


def _tensors(folder: Path, files: Mapping[str, str]) -> dict[str, Tensor]:
    """All tensors of a folder in float32; raises `MemoryFolderError` where a file is missing or damaged."""
    tensors: dict[str, Tensor] = {}
    for name, digest in files.items():
        if not (folder / name).exists() or sha256_file(folder / name) != digest:
            raise MemoryFolderError(f"{folder}: {name} is missing or damaged; install nrem again, or restore the file")
        tensors |= load_file(folder / name)
        check_finite_tensors(tensors, f"{folder}: {name}", MemoryFolderError, "install nrem again, or train the protocol again")
    return {name: tensor.float() for name, tensor in tensors.items()}
