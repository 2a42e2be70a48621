"""nrem lets a language model sleep on what it read: documents in, LoRA fast weights out, answers without the document.

    from nrem import Session, consolidate
    memory = consolidate("report.md")
    print(Session(memory).answer("When was it signed?").answer)

The names below are the public ones. Importing this module does not import torch; the first use of a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nrem.memory.errors import NremError
    from nrem.memory.memory import Memory
    from nrem.runtime.config import Config, load_config
    from nrem.runtime.models.load import load as load_model
    from nrem.runtime.readers.document import Document
    from nrem.runtime.session.consolidate import consolidate, extend
    from nrem.runtime.session.rewrite import forget, merge
    from nrem.runtime.session.session import Session
    from nrem.runtime.tune.tune import tune

__version__ = "0.1.0"

_HOME = {
    "Config": "nrem.runtime.config",
    "Document": "nrem.runtime.readers.document",
    "Memory": "nrem.memory.memory",
    "NremError": "nrem.memory.errors",
    "Session": "nrem.runtime.session.session",
    "consolidate": "nrem.runtime.session.consolidate",
    "extend": "nrem.runtime.session.consolidate",
    "merge": "nrem.runtime.session.rewrite",
    "forget": "nrem.runtime.session.rewrite",
    "load_config": "nrem.runtime.config",
    "load_model": "nrem.runtime.models.load",
    "tune": "nrem.runtime.tune.tune",
}
__all__ = [
    "Config",
    "Document",
    "Memory",
    "NremError",
    "Session",
    "__version__",
    "consolidate",
    "extend",
    "forget",
    "load_config",
    "load_model",
    "merge",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name not in _HOME:
        raise AttributeError(f"module 'nrem' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module.load if name == "load_model" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
