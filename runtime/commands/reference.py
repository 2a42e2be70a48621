"""The page of commands, `docs/commands.md`, made from the program itself.

    python -m nrem.runtime.commands.reference > docs/commands.md

A test compares the two. Imports no model.
"""

from collections.abc import Iterator, Sequence
from textwrap import fill
from typing import Any

import typer.main

from nrem.runtime.commands.main import COMMANDS, make_app

WIDTH = 120
"""Of a line of prose, characters."""
HEAD = """\
# Commands

<!-- Made by `python -m nrem.runtime.commands.reference > docs/commands.md`; change the program, not this page. -->

Every command has `--help`. What a command found goes to stdout, everything else to stderr.

| exit code | means |
| --: | --- |
| 0 | done |
| 1 | it failed; one sentence on stderr says what, where, and what to do |
| 2 | wrong usage: an unknown flag or setting, a file that is not there, a folder that is in the way |
| 130 | interrupted |

| variable | does |
| --- | --- |
| `NREM_DEBUG=1` | shows the traceback of an error, and what the libraries print |
| `NREM_CACHE` | is the folder for the default model and for what was measured; default `$XDG_CACHE_HOME/nrem`, else `~/.cache/nrem` |
| `HF_HUB_OFFLINE=1` | keeps transformers from looking for models on the network |
"""


def commands_page() -> str:
    """The whole page, as Markdown."""
    program: Any = typer.main.get_command(make_app(COMMANDS))
    return "\n".join([HEAD, *(_section(name, command) for name, command in program.commands.items())])


def _section(name: str, command: Any) -> str:
    """One command: what it does, how it is called, its arguments and flags."""
    shown = [p for p in command.params if "--help" not in p.opts]
    lines = [f"## nrem {name}", "", fill(command.help or "", WIDTH), "", "```text", _usage(name, shown), "```", ""]
    return "\n".join([*lines, *_table(shown)])


def _usage(name: str, params: Sequence[Any]) -> str:
    arguments = [p for p in params if p.param_type_name == "argument"]
    options = [p for p in params if p.param_type_name == "option"]
    words = [f"{_placeholder(p)}{'...' if p.nargs != 1 else ''}" for p in arguments]
    words = [word if p.required else f"[{word}]" for word, p in zip(words, arguments, strict=True)]
    needed = [f"{p.opts[0]} {_placeholder(p)}" for p in options if p.required]
    more = ["[options]"] if any(not p.required for p in options) else []
    return " ".join(["nrem", name, *words, *needed, *more])


def _table(params: Sequence[Any]) -> Iterator[str]:
    yield "| | default | meaning |"
    yield "| --- | --- | --- |"
    for p in params:
        names = ", ".join(p.opts) if p.param_type_name == "option" else ""
        value = "" if getattr(p, "is_flag", False) else _placeholder(p)
        yield f"| `{' '.join(part for part in (names, value) if part)}` | {_default(p)} | {_cell(p.help or '')} |"
    yield ""


def _placeholder(param: Any) -> str:
    return str(param.metavar or param.name.upper())


def _default(param: Any) -> str:
    """Empty where a parameter is a switch or has none, `needed` where it must be given."""
    if param.required:
        return "needed"
    if getattr(param, "is_flag", False) or not param.show_default or param.default is None:
        return ""
    return f"`{param.default}`"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    print(commands_page(), end="")
