"""The page of settings, `docs/settings.md`, made from the configuration's classes as they stand in the source.

    python -m nrem.runtime.commands.settings > docs/settings.md

The source is parsed, not imported: the sentence under a field is no attribute of anything, and some of the classes live beside torch.
A test compares page and source.
"""

import ast
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib import resources
from importlib.util import find_spec
from pathlib import Path

CONFIG = "nrem.runtime.config"
KINDS = {"int": "whole number", "float": "number", "str": "text", "bool": "`true`, `false`"}
HEAD = """\
# Settings

<!-- Made by `python -m nrem.runtime.commands.settings > docs/settings.md`; change the source, not this page. -->

A setting is given as `--set SECTION.KEY=VALUE`, any number of times, or in a TOML file with `--config FILE.toml`.
`--config` also takes the name of a preset. Defaults come first, then the file, then `--set`.
An unknown key is refused, with the nearest known one.
The resolved configuration is saved in the memory's `memory.json`, for the passes that read on and write anew.
With the shipped protocol, which has learned its own modules and ranks, some keys change nothing: all of `study`,
`fast_weights.rank`, `target`, `layers` and `question_chunks`, `sleep.replay`, `probes.facts_per_chunk` and
`probes.keyword_variants`. They are for other write rules; whoever sets one is told.
How a memory is asked (`model`, `protocol`, `answer`) is yours: `nrem ask` takes it from its own `--config` and `--set`.

```toml
[stream]
chunk_tokens = 128

[sleep]
passes = 2
```
"""


@dataclass(frozen=True)
class ModuleSource:
    """A module's file, parsed."""

    classes: Mapping[str, ast.ClassDef]
    values: Mapping[str, ast.expr]
    """What is assigned at the top, by name."""
    homes: Mapping[str, str]
    """Modules that names are imported from."""

    @classmethod
    def of(cls, module: str) -> "ModuleSource":
        spec = find_spec(module)
        assert spec is not None, module
        assert spec.origin is not None, module
        tree = ast.parse(Path(spec.origin).read_text(encoding="utf-8"))
        assigned = [(ast.unparse(node.targets[0]), node.value) for node in tree.body if isinstance(node, ast.Assign)]
        annotated = [(ast.unparse(node.target), node.value) for node in tree.body if isinstance(node, ast.AnnAssign) and node.value]
        return cls(
            classes={node.name: node for node in tree.body if isinstance(node, ast.ClassDef)},
            values=dict([*assigned, *annotated]),
            homes={a.name: n.module or "" for n in tree.body if isinstance(n, ast.ImportFrom) for a in n.names},
        )


@dataclass(frozen=True)
class Setting:
    """One key, as the page shows it."""

    key: str
    default: str
    kind: str
    meaning: str


def settings_page() -> str:
    """The whole page, as Markdown."""
    source = ModuleSource.of(CONFIG)
    sections: list[str] = []
    top: list[Setting] = []
    for node, meaning in _fields(source.classes["Config"]):
        name = ast.unparse(node.annotation)
        if name in source.classes or source.homes.get(name, "").startswith("nrem."):
            home = source if name in source.classes else ModuleSource.of(source.homes[name])
            sections += [f"## {ast.unparse(node.target)}", "", *_table(_settings(home, home.classes[name]))]
        elif node.value is None or "'setting': False" not in ast.unparse(node.value):
            top.append(_setting(source, node, meaning))
    return "\n".join([HEAD, *_presets(), "## (no section)", "", *_table(top), *sections])


def _settings(source: ModuleSource, section: ast.ClassDef) -> list[Setting]:
    return [_setting(source, node, meaning) for node, meaning in _fields(section)]


def _fields(section: ast.ClassDef) -> Iterator[tuple[ast.AnnAssign, str]]:
    """The fields of a dataclass, each with the sentence under it."""
    for node, below in zip(section.body, [*section.body[1:], None], strict=True):
        if isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            said = below.value.value if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant) else ""
            yield node, " ".join(str(said).split())


def _setting(source: ModuleSource, node: ast.AnnAssign, meaning: str) -> Setting:
    assert node.value is not None, f"{ast.unparse(node)}: a setting has a default"
    default = ast.literal_eval(_looked_up(source, node.value))
    shown = str(default).lower() if isinstance(default, bool) else f'"{default}"' if isinstance(default, str) else str(default)
    return Setting(ast.unparse(node.target), shown, _kind(source, node.annotation), meaning)


def _looked_up(source: ModuleSource, value: ast.expr) -> ast.expr:
    """A literal, where a name may stand for one of this module or of the one that it is imported from."""
    if not isinstance(value, ast.Name):
        return value
    if value.id in source.values:
        return _looked_up(source, source.values[value.id])
    return _looked_up(ModuleSource.of(source.homes[value.id]), value)


def _kind(source: ModuleSource, annotation: ast.expr) -> str:
    """What may stand there, in words."""
    if isinstance(annotation, ast.BinOp):
        return f"{_kind(source, annotation.left)} or {_kind(source, annotation.right)}"
    if isinstance(annotation, ast.Subscript) and ast.unparse(annotation.value) == "Literal":
        allowed = annotation.slice.elts if isinstance(annotation.slice, ast.Tuple) else [annotation.slice]
        return ", ".join(f"`{ast.unparse(value)}`" for value in allowed).replace("'", '"')
    if isinstance(annotation, ast.Name) and annotation.id in source.values:
        return _kind(source, source.values[annotation.id])
    return KINDS.get(ast.unparse(annotation), f"`{ast.unparse(annotation)}`")


def _table(settings: list[Setting]) -> list[str]:
    rows = [f"| `{s.key}` | `{s.default}` | {_cell(s.kind)} | {_cell(s.meaning)} |" for s in settings]
    return ["| key | default | takes | meaning |", "| --- | --- | --- | --- |", *rows, ""]


def _presets() -> list[str]:
    """The presets that come with nrem, each with the comment that its file begins with."""
    lines = ["| preset | what it is for |", "| --- | --- |"]
    for file in sorted(resources.files("nrem.configs").iterdir(), key=lambda f: f.name):
        if file.name.endswith(".toml"):
            first = file.read_text(encoding="utf-8").splitlines()[0].removeprefix("#").strip()
            lines.append(f"| `{file.name.removesuffix('.toml')}` | {_cell(first)} |")
    return [*lines, ""]


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


if __name__ == "__main__":
    print(settings_page(), end="")
