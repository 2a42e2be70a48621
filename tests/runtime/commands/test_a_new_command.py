"""CONTRIBUTING holds: a new command is one function and one row."""

from typing import Annotated

import pytest
import typer

from nrem.memory.errors import UsageError
from nrem.runtime.commands.main import COMMANDS, main


def shout(word: Annotated[str, typer.Argument(metavar="WORD")]) -> None:
    """Say a word loudly."""
    if not word.isalpha():
        raise UsageError(f"word: got {word!r}, expected letters; say a word")
    print(word.upper())


@pytest.mark.parametrize(
    ("word", "code", "out", "err"), [("night", 0, "NIGHT\n", ""), ("42", 2, "", "nrem: word: got '42', expected letters")]
)
def test_a_new_command_is_one_function_and_one_row(word: str, code: int, out: str, err: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main(["shout", word], COMMANDS | {"shout": shout})
    said = capsys.readouterr()
    assert (exit_.value.code, said.out) == (code, out)
    assert said.err.startswith(err)


def test_it_is_in_the_help(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--help"], COMMANDS | {"shout": shout})
    assert "Say a word loudly" in capsys.readouterr().out
