"""Sound values of everything that nrem reads from JSON, small, to have one thing changed in them. Knows no readers."""

import hashlib
import json
from typing import Any

from nrem.consolidation.allocate.curves import Curve, CurveTable
from nrem.consolidation.protocol.ceiling import Ceiling
from nrem.consolidation.protocol.confidence import Confidence
from nrem.memory.saved.files import ADAPTER_CONFIG, ADAPTER_WEIGHTS
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.json_text import json_text
from nrem.memory.saved.record import ChunkRecord, DocumentRecord, MemoryRecord, SleepRecord
from nrem.memory.weights.adapter_config import PLAIN_LORA
from nrem.runtime.config import Config, to_dict
from nrem.runtime.wake.features import FEATURES
from nrem.runtime.wake.router import Head, Router

HASH = "0" * 64
QUESTION = {"id": "1", "question": "Who kept the lamp?", "answers": ["Maren Tull"], "dataset": "own", "hops": 2, "support": [0]}
DOCUMENT = {"doc_id": "d", "dataset": "own", "title": "Orrin", "document": "Maren Tull kept the lamp.", "questions": [QUESTION]}
PASSAGE = {"title": "Orrin", "context": "Maren Tull kept the lamp.", "questions": [["Who kept the lamp?", "Maren Tull"]]}
CHUNK = {"document": "d", "title": "t", "index": 0, "start": 0, "end": 5, "text": "Lamp.", "num_tokens": 2}
DREAMING = CHUNK | {"dreamt": [["Who kept the lamp?", "Maren Tull"], ["When did he leave?", "1871"]]}
ADAPTER = PLAIN_LORA | {
    "r": 4,
    "lora_alpha": 4,
    "rank_pattern": {},
    "alpha_pattern": {},
    "target_modules": ["a.down_proj"],
    "revision": None,
}
_CURVE = Curve(
    document="d", chunk=0, nll=(2.0, 1.0), recall=(0.0, 1.0), pass_fet=3.0, num_probes=2, control=(2.0, 2.0), signals={"surprisal": 1.0}
)
_TABLE = CurveTable(levels=(0, 1), curves=(_CURVE, _CURVE))
_BASE = BaseIdentity(
    name="a/b", revision="", config_sha256=HASH, weights_sha256=HASH, tokenizer_sha256=HASH, chat_template_sha256="", dtype="float32"
)


def _plain(value: Any) -> Any:
    return json.loads(value if isinstance(value, str) else json_text(value))


CURVES = _plain(_TABLE.to_json())
CEILING = _plain(Ceiling.of(_TABLE).to_json())
CONFIDENCE = _plain(
    Confidence(intercept=0.1, slope=1.0, passes=1, asked="probes", pairs=30, base_rate=0.5, brier_before=0.3, brier_after=0.2).to_json()
)
ROUTER = _plain(
    Router(
        heads={way: Head(0.1, (0.5,) * len(FEATURES), 30.0) for way in ("direct", "search")},
        mean=(0.0,) * len(FEATURES),
        scale=(1.0,) * len(FEATURES),
        questions=30,
        groups=2,
    ).to_json()
)
RECORD = _plain(
    MemoryRecord(
        base=_BASE,
        protocol={"id": "p", "sha256": HASH, "rule": "ridge"},
        config=to_dict(Config()),
        seed=0,
        documents=[DocumentRecord(name="d", title="t", sha256=HASH, num_characters=5, num_tokens=2, num_chunks=1)],
        chunks=[
            ChunkRecord(document="d", index=0, start=0, end=5, num_tokens=2, surprisal=1.0, sleep=0, looked_at=[0], recall=[1.0], nll=[0.1])
        ],
        sleeps=[
            SleepRecord(
                index=0,
                chunks=[0],
                replayed=[],
                passes=1,
                recall_before=0.0,
                recall_after=1.0,
                fet=3.0,
                seconds=1.0,
                kept=True,
                guard={"kl": 0.1},
            )
        ],
        fet={"passes": 3.0},
        seconds={"passes": 1.0},
        canary={"question": "q", "answer": "a"},
        files={ADAPTER_CONFIG: HASH, ADAPTER_WEIGHTS: HASH},
    ).to_dict()
)
BANK = [
    {
        "about": {
            "questions": {"count": 1, "sha256": HASH},
            "documents": [{"sha256": HASH}],
            "base model": {"name": "a/b", "gflop_per_fet": 1.0},
        }
    },
    {"level": 1, "slept": {"fet": {"passes": 3.0}, "seconds": {"passes": 1.0}, "rolled_back": 0}},
    {
        "setting": {"passes": 0, "way": "direct", "wording": "{question}"},
        "question": 0,
        "asked": {"id": "1", "answer": "a", "nll": 0.5, "f1": 1.0, "em": 1.0, "fet": 3.0, "seconds": 0.1},
    },
]
"""Lines of `bank.jsonl`."""
_EVENTS = [json_text({"kind": "pass", "chunk": number, "nll": 0.5}) for number in range(3)]
JOURNAL = "".join(f"{hashlib.sha256(event.encode()).hexdigest()[:16]} {event}\n" for event in _EVENTS).encode()
STORY = "Maren Tull kept the Orrin lighthouse from 1843 to 1871. The lamp burned 60 litres of oil. The harbour froze on 12 January 1858.\n"
