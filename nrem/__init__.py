"""nrem lets a language model sleep on what it read: documents in, LoRA fast weights out, answers without the document.

    from nrem import Session, consolidate
    memory = consolidate("report.md")
    print(Session(memory).answer("When was it signed?").answer)

The names below are the public ones. Importing this module does not import torch; the first use of a name does.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from nrem.consolidation import events
    from nrem.memory import errors
    from nrem.memory.errors import NremError
    from nrem.memory.memory import Memory
    from nrem.runtime.config import Config, load_config
    from nrem.runtime.models.default import default_model_folder
    from nrem.runtime.models.load import load as load_model
    from nrem.runtime.readers.document import Document
    from nrem.runtime.session.consolidate import consolidate, extend
    from nrem.runtime.session.rewrite import forget, merge
    from nrem.runtime.session.session import Session
    from nrem.runtime.tune.tune import tune
    from nrem.runtime.wake.answer import Answer
    from nrem.runtime.wake.wake import Wake

__version__ = "0.1.0"

_HOME = {
    "Answer": "nrem.runtime.wake.answer",
    "Config": "nrem.runtime.config",
    "Document": "nrem.runtime.readers.document",
    "Memory": "nrem.memory.memory",
    "NremError": "nrem.memory.errors",
    "Session": "nrem.runtime.session.session",
    "Wake": "nrem.runtime.wake.wake",
    "consolidate": "nrem.runtime.session.consolidate",
    "extend": "nrem.runtime.session.consolidate",
    "merge": "nrem.runtime.session.rewrite",
    "forget": "nrem.runtime.session.rewrite",
    "default_model_folder": "nrem.runtime.models.default",
    "load_config": "nrem.runtime.config",
    "load_model": "nrem.runtime.models.load",
    "tune": "nrem.runtime.tune.tune",
}
_MODULES = {"errors": "nrem.memory.errors", "events": "nrem.consolidation.events"}
"""Public as a whole, since their names say most beside one another: `from nrem import events`."""
__all__ = [
    "Answer",
    "Config",
    "Document",
    "Memory",
    "NremError",
    "Session",
    "Wake",
    "__version__",
    "consolidate",
    "default_model_folder",
    "errors",
    "events",
    "extend",
    "forget",
    "load_config",
    "load_model",
    "merge",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name in _MODULES:
        return import_module(_MODULES[name])
    if name not in _HOME:
        raise AttributeError(f"module 'nrem' has no attribute {name!r}")
    module = import_module(_HOME[name])
    return module.load if name == "load_model" else getattr(module, name)


def __dir__() -> list[str]:
    return __all__
