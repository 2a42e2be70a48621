"""Turns at a model: one thread at a time reads with it, writes into it or answers from it; the others wait.

Fast weights are attached to the one model that all threads share: a second thread would read with what the first has attached. Whoever
holds a turn may take it again. Processes do not share a model, and need no turns.
"""

from collections.abc import Callable
from functools import wraps
from threading import Lock, RLock
from typing import Any, Concatenate, ParamSpec, Protocol, TypeVar
from weakref import WeakKeyDictionary

from torch import nn

P = ParamSpec("P")
R = TypeVar("R")


class HasBase(Protocol):
    """What works with the model of a loaded base."""

    base: Any


S = TypeVar("S", bound=HasBase)

_turns: WeakKeyDictionary[nn.Module, Any] = WeakKeyDictionary()
_making = Lock()


def turn(model: nn.Module) -> Any:
    """The lock of a model, to be held with `with`."""
    with _making:
        return _turns.setdefault(model, RLock())


def in_turn(method: Callable[Concatenate[S, P], R]) -> Callable[Concatenate[S, P], R]:
    """A method during which no other thread works with the model of the object's base."""

    @wraps(method)
    def held(self: S, *args: P.args, **kwargs: P.kwargs) -> R:
        with turn(self.base.model):
            return method(self, *args, **kwargs)

    return held
