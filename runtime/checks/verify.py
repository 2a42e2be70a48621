"""Verify a saved memory, from its files to what it answers: the checks of `nrem verify`, each with what was found.

A check that fails ends the list: those behind it would only repeat what it said.
"""

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import torch
from peft import PeftModel

from nrem.memory.errors import MemoryFolderError, MissingFileError
from nrem.memory.memory import Memory, Route
from nrem.memory.saved.files import WRITTEN, segment_folder
from nrem.memory.saved.record_file import MADE_ANEW, damage
from nrem.memory.saved.scratch import Scratch
from nrem.runtime.checks.check import Check
from nrem.runtime.config import Flags
from nrem.runtime.parts import config_of, load_base
from nrem.runtime.session.session import Session

SENTENCE = "The lamp burned all night, and nobody came to see it."
SAME = 1e-5
"""Largest difference of logits between two ways to the same adapter, relative to the largest logit."""


def verify_memory(folder: Path, flags: Flags | None = None) -> Iterator[Check]:
    """Yield the checks as they are made. Raises `MissingFileError` for no memory, and `ModelError` where its base cannot be loaded."""
    try:
        memory = Memory.load(folder)
    except MissingFileError:
        raise
    except MemoryFolderError as error:
        yield Check("files", False, str(error).removeprefix(f"{folder}: "))
        return
    if problem := _made_anew(memory, folder):
        yield Check("files", False, problem)
        return
    yield Check("files", True, f"{len(memory.record.files)} files as they were saved")
    count = sum(2 * len(segment.modules) for segment in memory.segments)
    yield Check("tensors", True, f"{count} tensors, all finite")  # loading has looked at each
    config = config_of(memory, flags=flags)
    base = load_base(config)
    try:
        session = Session(memory, base=base, config=config)
    except MemoryFolderError as error:
        yield Check("base model", False, str(error).removeprefix(f"{folder} "))
        return
    yield Check("base model", True, f"{base.identity.short()}, the one that it was made for")
    for index in range(len(memory.segments)):
        check = _check_peft(session, index)
        yield check
        if not check.ok:
            return
    yield _check_canary(session)


def _made_anew(memory: Memory, folder: Path) -> str:
    """What is wrong with a file that a question does without, since it follows from others."""
    for name in MADE_ANEW:
        if name in memory.record.files and (problem := damage(folder, name, memory.record.files[name])):
            return f"{problem.removeprefix(f'{folder}: ').partition('; ')[0]}; answers do without it, saving the memory anew makes it again"
    return ""


def _check_peft(session: Session, index: int) -> Check:
    """Does plain PEFT, given the folder, say what the attached memory says?"""
    memory = session.memory
    assert memory.folder is not None
    folder = segment_folder(memory.folder, index)
    if (folder / WRITTEN).exists():
        with closing(Scratch()) as scratch:
            made = memory.save_adapter(scratch.folder / "adapter", index)
            return _compared(session, index, made, f"{folder}, written out whole")
    return _compared(session, index, folder, str(folder))


def _compared(session: Session, index: int, folder: Path, name: str) -> Check:
    memory, model = session.memory, session.base.model
    with memory.attached(model, Route(index)):
        mine = _logits(session)
    try:
        wrapped = PeftModel.from_pretrained(model, str(folder))
    except Exception as error:  # whatever PEFT raises means that others cannot open it
        return Check("PEFT", False, f"cannot open {name} ({str(error).splitlines()[0]}); sleep again")
    theirs = _logits(session)
    wrapped.unload()
    difference = float((mine - theirs).abs().max() / mine.abs().max())
    if difference > SAME:
        return Check("PEFT", False, f"gives other logits for {name} (off by {difference:.1e} of the largest); sleep again")
    return Check("PEFT", True, f"opens {name} and gives {'the same' if difference == 0 else 'nearly the same'} logits")


@torch.no_grad()
def _logits(session: Session) -> torch.Tensor:
    ids = torch.tensor([session.protocol.plain_ids(SENTENCE, start=True)], device=session.base.model.device)
    logits: torch.Tensor = session.base.model(input_ids=ids, use_cache=False).logits[0].float()
    return logits


def _check_canary(session: Session) -> Check:
    """Is the recorded question still answered in the recorded words?"""
    record = session.memory.record
    if not record.canary:
        return Check("answer", True, "no question was recorded: the document states nothing that can be asked for")
    question, recorded = record.canary["question"], record.canary["answer"]
    answer = session.answer(question, "direct").answer
    if answer == recorded:
        return Check("answer", True, f"{question!r} -> {answer!r}, as recorded")
    was, now = record.base.dtype, session.base.identity.dtype
    why = f"it was made in {was} and the model now runs in {now}" if was != now else "other versions of the libraries may be the cause"
    return Check("answer", False, f"{question!r} -> {answer!r}, recorded was {recorded!r}; {why}")
