"""The pages of commands and settings say what the program does: they are made from it."""

import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import fields

import pytest

from nrem.consolidation.write.rules import RULES
from nrem.runtime.commands.main import COMMANDS
from nrem.runtime.commands.reference import commands_page
from nrem.runtime.commands.settings import settings_page
from nrem.runtime.config import Config, load_config
from tests.test_docs import ROOT

PAGES: dict[str, tuple[Callable[[], str], str]] = {
    "commands.md": (commands_page, "nrem.runtime.commands.reference"),
    "settings.md": (settings_page, "nrem.runtime.commands.settings"),
}


@pytest.mark.parametrize("page", PAGES)
def test_a_page_is_what_the_program_says(page: str) -> None:
    make, module = PAGES[page]
    kept = (ROOT / "docs" / page).read_text(encoding="utf-8")
    assert kept == make(), f"docs/{page} is not what the program says: run `python -m {module} > docs/{page}`"


def test_every_command_has_its_section() -> None:
    headings = [line for line in commands_page().splitlines() if line.startswith("## ")]
    assert headings == [f"## nrem {name}" for name in COMMANDS]


def test_the_page_names_what_the_shipped_protocol_does_not_go_by() -> None:
    paragraph = settings_page().split("some keys change nothing")[1].split("They are for other")[0]
    idle = frozenset[str]().union(*(row.uses for row in RULES.values())) - RULES["ridge"].uses
    for key in idle:
        section, name = key.split(".")
        assert f"all of `{section}`" in paragraph if section == "study" else f"`{name}`" in paragraph or f"`{key}`" in paragraph, key
    named = set(re.findall(r"`([a-z_.]+)`", paragraph)) - {"study"}
    assert {name.rsplit(".", 1)[-1] for name in named} == {key.rsplit(".", 1)[-1] for key in idle if not key.startswith("study.")}


def test_every_setting_is_there_with_its_default_and_a_meaning() -> None:
    """The page is parsed from the source; here the classes themselves are asked."""
    rows: dict[str, list[list[str]]] = {}
    for text in settings_page().split("\n## ")[1:]:
        name, *lines = text.splitlines()
        cells = ([cell.strip() for cell in line.replace("\\|", "/").strip("|").split("|")] for line in lines)
        rows[name] = [row for row in cells if row[0].startswith("`")]
    config = load_config("default")
    for section, found in rows.items():
        part = config if section == "(no section)" else getattr(config, section)
        assert [key.strip("`") for key, *_ in found] == [
            f.name for f in fields(part) if f.name not in rows and f.metadata.get("setting", True)
        ]
        assert [key for key, *_, meaning in found if not meaning] == []
        for key, default, *_ in found:
            assert default.strip("`").strip('"').lower() == str(getattr(type(part)(), key.strip("`"))).lower()
    assert set(rows) == {"(no section)", *(f.name for f in fields(Config) if f.name not in ("seed", "given"))}


@pytest.mark.parametrize("module", [module for _, module in PAGES.values()])
def test_making_a_page_does_not_import_torch(module: str) -> None:
    code = f"import sys, runpy; runpy.run_module('{module}', run_name='__main__'); sys.exit('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, check=False, encoding="utf-8")
    assert (done.returncode, done.stderr) == (0, "")
    page = next(page for page, (_, name) in PAGES.items() if name == module)
    assert done.stdout == (ROOT / "docs" / page).read_text(encoding="utf-8")
