"""Memories that are made for a measurement, and kept: the same text, configuration, base model and protocol are slept on once."""

import hashlib
import shutil
from contextlib import suppress
from dataclasses import replace

from nrem.memory.errors import NremError
from nrem.memory.memory import Memory
from nrem.memory.saved.json_text import json_text
from nrem.runtime.config import Config, to_dict
from nrem.runtime.models.default import cache_folder
from nrem.runtime.models.load import Base
from nrem.runtime.parts import make_protocol
from nrem.runtime.readers.document import Document
from nrem.runtime.session.session import Session
from nrem.runtime.wake.config import AnswerConfig


def kept_memory(base: Base, config: Config, text: str, name: str, title: str, room: str) -> Memory:
    """The memory of a text: from `room`, a folder of the cache, where it lies there, else made and left there."""
    settled = replace(config, answer=AnswerConfig())  # how it is asked does not change it
    protocol = make_protocol(base, config)
    values = [text, to_dict(settled), base.identity.to_dict(), protocol.sha256, protocol.asker.sha256 if protocol.asker else ""]
    folder = cache_folder() / room / hashlib.sha256(json_text(values, sort_keys=True).encode()).hexdigest()[:16]
    with suppress(NremError):  # none yet, or a damaged one
        return Memory.load(folder)
    memory = Session(base=base, config=settled).stream(Document.from_text(text, name, title))
    shutil.rmtree(folder, ignore_errors=True)
    memory.save(folder)
    return memory
