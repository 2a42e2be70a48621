"""A memory: fast weights with their provenance, in memory or in a folder that PEFT opens by itself (DESIGN 6)."""

import json
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self
from weakref import WeakSet

from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from nrem.memory.atomic import replace_folder, sha256_file
from nrem.memory.card import model_card
from nrem.memory.errors import BaseMismatchError, MemoryFolderError, MissingFileError, SleepError, UsageError
from nrem.memory.fast_weights import ADAPTER_CONFIG, ADAPTER_WEIGHTS, FastWeights
from nrem.memory.identity import BaseIdentity, weights_sha256
from nrem.memory.record import MemoryRecord
from nrem.memory.text import CHUNKS, EvictedText

MEMORY = "memory.json"
STATISTICS = "statistics.safetensors"
TEXT = "text"

_in_use: WeakSet[nn.Module] = WeakSet()


class Memory:
    """A consolidation: `record` (what happened), `weights` (what was written), `text` (what was read, if kept)."""

    def __init__(self, *, record: MemoryRecord, weights: FastWeights, text: EvictedText | None, folder: Path | None = None) -> None:
        self.record, self.weights, self.text, self.folder = record, weights, text, folder
        self.statistics: dict[str, Tensor] = {}
        """Additive statistics of the write, by chunk and module; empty where the rule has none."""
        self.scratch: Any = None
        """Whatever must live as long as `text` does."""

    @property
    def name(self) -> str:
        """For messages: where it lies, or that it was not saved yet."""
        return str(self.folder) if self.folder else "this memory"

    def save(self, path: str | Path, *, force: bool = False, forget_text: bool = False) -> Path:
        """Write the folder, whole or not at all; `force` replaces an older memory, and never anything else."""
        target = Path(path)
        check_target(target, force=force)
        target.parent.mkdir(parents=True, exist_ok=True)
        made = Path(tempfile.mkdtemp(prefix=f".{target.name}.", dir=target.parent))
        try:
            made.chmod(0o755)
            self.weights.save(made, self.record.base.name, self.record.base.revision)
            if self.statistics:
                save_file({k: t.detach().cpu().contiguous() for k, t in self.statistics.items()}, made / STATISTICS)
            if self.text is not None and len(self.text) and not forget_text:
                (made / TEXT).mkdir()
                shutil.copyfile(self.text.path, made / TEXT / CHUNKS)
                EvictedText(made / TEXT).save_index()
            kept = [
                path for path in (made / ADAPTER_CONFIG, made / ADAPTER_WEIGHTS, made / STATISTICS, made / TEXT / CHUNKS) if path.exists()
            ]
            self.record.files = {str(path.relative_to(made)): sha256_file(path) for path in kept}
            (made / MEMORY).write_text(json.dumps(self.record.to_dict(), indent=2, sort_keys=True, ensure_ascii=False) + "\n")
            (made / "README.md").write_text(model_card(self.record, target.name), encoding="utf-8")
            replace_folder(made, target)
        except BaseException:
            shutil.rmtree(made, ignore_errors=True)
            raise
        self.folder = target
        return target

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Read a folder; refuses, in one sentence, what is missing, damaged, changed or of a newer schema."""
        folder = Path(path)
        record = read_record(folder)
        for name, digest in record.files.items():
            if not (folder / name).exists():
                if name == f"{TEXT}/{CHUNKS}":
                    continue  # forgotten on purpose
                raise MemoryFolderError(f"{folder}: {name} is missing; restore the file or sleep again")
            if sha256_file(folder / name) != digest:
                raise MemoryFolderError(
                    f"{folder}: {name} was changed or damaged after saving (its hash differs); restore it or sleep again"
                )
        try:
            weights = FastWeights.load(folder)
        except MemoryFolderError:
            raise
        except Exception as error:
            raise MemoryFolderError(f"{folder}: {ADAPTER_WEIGHTS} cannot be read ({error}); restore it or sleep again") from error
        text = EvictedText(folder / TEXT) if (folder / TEXT / CHUNKS).exists() else None
        memory = cls(record=record, weights=weights, text=text, folder=folder)
        if STATISTICS in record.files:
            memory.statistics = load_file(folder / STATISTICS)
        return memory

    def save_pretrained(self, path: str | Path, **options: Any) -> Path:
        """`save` under the name that PEFT and transformers use."""
        return self.save(path, **options)

    @classmethod
    def from_pretrained(cls, path: str | Path) -> Self:
        """`load` under the name that PEFT and transformers use."""
        return cls.load(path)

    def check_base(self, base: BaseIdentity) -> None:
        """Raise `BaseMismatchError` when the memory was made for another model or tokenizer."""
        if problem := self.record.base.mismatch(base):
            raise BaseMismatchError(
                f"{self.name} was made for {self.record.base.short()}, got {base.short()} ({problem}): load the first model, "
                "or sleep again with this one"
            )

    @contextmanager
    def attached(self, model: nn.Module) -> Iterator[nn.Module]:
        """Lend the fast weights to the model; afterwards, also after an exception, it is the base again, bit for bit."""
        digest = weights_sha256(model)
        if digest != self.record.base.weights_sha256:
            raise BaseMismatchError(
                f"{self.name} was made for {self.record.base.short()}, got a model with weights {digest[:6]}: load the first model, "
                "or sleep again with this one"
            )
        if model in _in_use:
            raise SleepError("a memory is already attached to this model, and two would add up: leave the first `with` block")
        _in_use.add(model)
        try:
            device = next(model.parameters()).device
            with self.weights.to(device).attached(model):
                yield model
        finally:
            _in_use.discard(model)

    @property
    def num_bytes(self) -> int:
        """Size of the adapter's weights, bytes."""
        return sum(t.numel() * t.element_size() for t in self.weights.tensors().values())


def read_record(folder: Path) -> MemoryRecord:
    """The `memory.json` of a folder; the errors say what else the folder may be."""
    if not folder.is_dir():
        raise MissingFileError(f"{folder}: no such memory; `nrem ls` lists them, `nrem sleep DOC -o {folder}` makes one")
    path = folder / MEMORY
    if not path.exists():
        if (folder / "resume.safetensors").exists():
            raise MemoryFolderError(f"{folder}: an unfinished sleep; finish it with nrem sleep --resume")
        if (folder / ADAPTER_CONFIG).exists():
            raise MemoryFolderError(f"{folder}: a plain PEFT adapter without {MEMORY}; open it with PEFT, or sleep again with nrem")
        raise MemoryFolderError(f"{folder}: not a memory, {MEMORY} is missing; `nrem ls` lists the memories in a folder")
    try:
        values = json.loads(path.read_text(encoding="utf-8"))
    except ValueError as error:
        raise MemoryFolderError(f"{path}: not valid JSON ({error}); restore the file or sleep again") from None
    if not isinstance(values, dict):
        raise MemoryFolderError(f"{path}: expected a JSON object; restore the file or sleep again")
    return MemoryRecord.from_dict(values, str(path))


def check_target(target: Path, *, force: bool) -> None:
    """Refuse to write over what is there, before any work is done."""
    if not target.exists():
        return
    if not (target / MEMORY).exists() and (not target.is_dir() or any(target.iterdir())):
        raise UsageError(f"{target}: exists and is not a memory; choose another name, nrem does not overwrite it")
    if not force and (target / MEMORY).exists():
        raise UsageError(f"{target}: a memory is already there; choose another name, or replace it with --force")
