"""What `nrem sleep` is asked to do, and whether it can be done, looked at before a model library is imported: what can be refused is so in
a fraction of a second."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from nrem.memory.errors import UsageError
from nrem.memory.library.folder import check_is_unfinished
from nrem.memory.saved.files import UNFINISHED
from nrem.memory.saved.record_file import check_target
from nrem.runtime.config import Config
from nrem.runtime.models.source import find_source
from nrem.runtime.readers.document import Document
from nrem.runtime.readers.read import open_documents


@dataclass(frozen=True, kw_only=True)
class SleepJob:
    """What to read, where to put it, and what to do with what is there."""

    documents: tuple[str, ...]
    """File names; `-` is standard input."""
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
        """The journal's folder."""
        return self.out.with_name(f"{self.out.name}{UNFINISHED}")


def check_job(job: SleepJob, config: Config, tell: Callable[[str], None]) -> list[Document]:
    """The documents, opened. Raises what is wrong with them, the target, what is unfinished beside it, and the model's name."""
    check_target(job.out, force=job.force)
    if job.unfinished.exists():
        check_is_unfinished(job.unfinished)
        if not (job.resume or job.force):
            raise UsageError(f"{job.unfinished}: an unfinished sleep is there; go on with --resume, or start again with --force")
    find_source(config.model.name, config.model.load_in, config.model.dtype)
    return open_documents(job.documents, encoding=job.encoding, tell=tell)
