"""What `nrem sleep` is asked to do, and whether it can be done, looked at before a model library is imported: what can be refused is so in
a fraction of a second."""

import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from nrem.memory.errors import UsageError
from nrem.memory.library.folder import check_is_unfinished
from nrem.memory.names import told_apart
from nrem.memory.saved.files import MEMORY, UNFINISHED
from nrem.memory.saved.own import check_keepable, of_journal
from nrem.memory.saved.record_file import read_record
from nrem.memory.saved.target import check_target, real_target
from nrem.runtime.config import Config, to_dict
from nrem.runtime.models.source import find_source
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents


@dataclass(frozen=True, kw_only=True)
class SleepJob:
    """What to read, where to put it, and what to do with what is there."""

    documents: tuple[Document | str | Path, ...]
    """Documents, or names of files; `-` is standard input."""
    out: Path
    resume: bool = False
    """Go on with an unfinished run of the same documents."""
    force: bool = False
    """Replace an older memory; without `resume` also throw away an unfinished run."""
    forget_text: bool = False
    """Do not keep the evicted text in the memory."""
    encoding: str = ""
    """Of the documents; "" finds it out for each."""

    @property
    def unfinished(self) -> Path:
        """The journal's folder, beside the memory."""
        out = real_target(self.out)
        return out.with_name(f"{out.name}{UNFINISHED}")


def check_job(job: SleepJob, config: Config, tell: Callable[[str], None], *, base_given: bool = False) -> list[Document]:
    """The documents, opened. Raises what is wrong with them, the target, what is unfinished beside it, and, unless a base is given, the
    model's name.

    The lock of the target must be held.
    """
    if job.resume and is_there(job):
        documents = open_documents(job.documents, encoding=job.encoding, tell=tell)
        why = difference(job, config, documents)
        if not why:
            return documents
        if not job.force:
            raise UsageError(
                f"{job.out}: nothing is unfinished, and the memory there {why}; choose another name, or replace it with --force"
            )
    check_target(job.out, force=job.force)
    if os.path.lexists(job.unfinished):
        check_is_unfinished(job.unfinished)
        check_keepable(job.unfinished, of_journal)
        if not (job.resume or job.force):
            raise UsageError(f"{job.unfinished}: an unfinished sleep is there; go on with --resume, or start again with --force")
    if not base_given:
        find_source(config.model.name, config.model.load_in, config.model.dtype)
    return open_documents(job.documents, encoding=job.encoding, tell=tell)


def is_there(job: SleepJob) -> bool:
    """Whether the memory is saved, and nothing is unfinished."""
    return (job.out / MEMORY).exists() and not os.path.lexists(job.unfinished)


def difference(job: SleepJob, config: Config, documents: Sequence[Document]) -> str:
    """What tells the memory that is there from the one that is asked for, in words; empty where nothing does. Reads the documents."""
    record = read_record(job.out)
    if [d.sha256 for d in record.documents] != [_sha256(d) for d in documents]:
        mine, given = (", ".join(told_apart([d.name for d in of])) or "nothing" for of in (record.documents, documents))
        return f"is of {mine}, got {given}" + (" with another text" if mine == given else "")
    return "" if record.config == to_dict(config) else "was made with another configuration"


def _sha256(document: Document) -> str:
    digest = hashlib.sha256()
    for piece in document.pieces():
        digest.update(piece.encode())
    return digest.hexdigest()
