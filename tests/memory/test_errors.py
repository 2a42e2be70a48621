"""Errors: each is one line, whatever it quotes, and also the builtin that a caller expects."""

import pickle

import pytest

from nrem.memory import errors
from nrem.memory.errors import MissingFileError, NremError, UsageError

ERRORS = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, NremError)]


@pytest.mark.parametrize("kind", ERRORS)
def test_what_is_quoted_neither_breaks_the_line_nor_commands_the_terminal(kind: type[NremError]) -> None:
    assert str(kind("a.json: got 'x\ny\x1b[31m\u2028', expected é or 日本")) == r"a.json: got 'x\ny\x1b[31m\u2028', expected é or 日本"


def test_errors_are_the_builtins_that_callers_expect_and_survive_a_process() -> None:
    error = MissingFileError("x: no such file")
    assert isinstance(error, FileNotFoundError)
    assert isinstance(error, UsageError)
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again)) == (MissingFileError, "x: no such file")
