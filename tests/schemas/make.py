"""Makes the folders beside this file, each with the code of one commit: memories and protocols as earlier versions of nrem wrote them.

    git worktree add /tmp/then COMMIT
    cd tests/schemas/NAME && PYTHONPATH=/tmp/then python ../make.py

The names, commits and what each folder holds stand in `README.md`; `tests/memory/saved/test_earlier_schemas.py` opens them. It imports
what all these versions have under the same name, or tries one name after the other.
"""

import json
import shutil
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

from nrem import Document, Memory, Session, consolidate
from tests import tiny

OTHER = "The mill of Sarn was built in 1790 by Ines Vow. It ground 40 sacks of rye a day. The wheel broke on 3 May 1802."
QUESTION = "Who built the mill of Sarn?"


def save_protocol(folder: Path, protocol: Any, base: Any) -> None:
    for name in ("nrem.consolidation.protocol.folder", "nrem.consolidation.protocol_folder"):
        try:
            module = import_module(name)
        except ImportError:
            continue
        module.save_protocol(folder, protocol, base.identity, {})
        return
    raise ImportError("no protocol folders in this version")


def save_memory(name: str, base: Any, *settings: str) -> dict[str, Any]:
    """A memory of two documents, and what it says."""
    config = tiny.make_config("guard.enabled=false", *settings)
    documents = [Document.from_text(tiny.STORY, "0.md", "Orrin"), Document.from_text(OTHER, "1.md", "Sarn")]
    memory = consolidate(*documents, base=base, config=config)
    memory.save(name)
    memory = Memory.load(name)
    said = []
    for segment in memory.segments:
        with segment.weights.attached(base.model):
            said.append(tiny.logits_of(base)[-1].topk(8).values.tolist())
    try:
        answer = Session(memory, base=base, config=config).answer(QUESTION, "direct")
    except TypeError:  # from before there were ways
        answer = Session(memory, base=base, config=config).answer(QUESTION)
    return {"logits": said, "answer": answer.answer, "chunks": len(memory.record.chunks)}


def main() -> None:
    torch.set_num_threads(1)
    for left in ("untrained", "learned", "protocol"):
        shutil.rmtree(left, ignore_errors=True)
    base: Any = tiny.make_base("llama")
    save_protocol(Path("protocol"), tiny.make_ridge_protocol(base), base)
    expected = {
        "question": QUESTION,
        "base": base.identity.to_dict(),
        "untrained": save_memory("untrained", base),
        "learned": save_memory("learned", base, "protocol.name=protocol", "fast_weights.segment_chunks=8"),
    }
    Path("expected.json").write_text(json.dumps(expected, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
