"""The pages whose outputs are real: what runs them, and that their fixed words are still those of the program."""

import json
import re
from collections.abc import Iterator
from dataclasses import fields
from pathlib import Path

import pytest
from rich.table import Table

from benchmarks.pages import BLOCK, PAGES, Desk, main, run_page, write_files
from nrem.memory.errors import MissingFileError, NremError
from nrem.memory.saved.identity import BaseIdentity
from nrem.memory.saved.record import MemoryRecord
from nrem.runtime.show.memory import chunks_table, costs_table, documents_table, library_table, sleeps_table, summary
from nrem.runtime.wake.answer import Answer

ROOT = Path(__file__).parents[2]
PAGE = """# A page

<!-- file: words.txt -->
```text
one
two
```

```console
$ cat words.txt \\
    words.txt | head -n 3
old
$ ls nowhere
old
$ echo $?
0
```

<!-- not run: by hand -->
```console
$ sleep 1000
^C
```

```python
print("three")
```

```text
old
```

```sh
exit 1
```
"""


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    write_files(PAGE, tmp_path)
    return Desk(tmp_path)


def test_what_is_shown_is_run_and_what_came_out_stands_there(desk: Desk) -> None:
    done = run_page(PAGE, desk)
    assert "$ cat words.txt \\\n    words.txt | head -n 3\none\ntwo\none\n$ ls nowhere\nls: " in done
    assert "$ echo $?\n2\n```" in done
    assert '```python\nprint("three")\n```\n\n```text\nthree\n```' in done
    assert "$ sleep 1000\n^C\n```" in done
    assert "old" not in done
    assert run_page(done, desk) == done


@pytest.mark.parametrize(
    ("block", "said"),
    [
        ("```console\n$ false\n$ true\n```", "false: ended with exit code 1, which the page does not show"),
        ("```console\n$ true\n$ false\n```", "false: ended with exit code 1"),
        ("```python\n\n1 / 0\n```", "ZeroDivisionError"),
    ],
)
def test_what_fails_unseen_is_refused(desk: Desk, block: str, said: str) -> None:
    with pytest.raises(NremError, match=said):
        run_page(block + "\n", desk)


def test_pages_share_a_folder_and_are_written_together(tmp_path: Path) -> None:
    first, second, broken = (tmp_path / name for name in ("a.md", "b.md", "c.md"))
    first.write_text("```console\n$ echo here > made.txt\n```\n", encoding="utf-8")
    second.write_text("```console\n$ cat made.txt\n```\n", encoding="utf-8")
    broken.write_text("```console\n$ false\n```\n", encoding="utf-8")
    with pytest.raises(NremError, match="exit code 1"):
        main([str(first), str(second), str(broken)])
    assert "here\n```" not in second.read_text(encoding="utf-8")
    main([str(first), str(second)])
    assert second.read_text(encoding="utf-8") == "```console\n$ cat made.txt\nhere\n```\n"
    with pytest.raises(MissingFileError, match=r"none\.md: no such file"):
        main([str(tmp_path / "none.md")])


def shown(language: str) -> Iterator[str]:
    """Blocks of all pages."""
    for page in PAGES:
        for block in BLOCK.finditer((ROOT / page).read_text(encoding="utf-8")):
            if block["language"] == language:
                yield block["body"]


def objects(command: str) -> list[list[str]]:
    """The keys of the JSON objects that the console blocks show behind a command."""
    lines = [line for body in shown("console") if command in body and "--json" in body for line in body.splitlines()]
    return [list(json.loads(line)) for line in lines if line.startswith("{")]


def empty() -> MemoryRecord:
    base = BaseIdentity(
        name="", revision="", config_sha256="", weights_sha256="", tokenizer_sha256="", chat_template_sha256="", dtype="", source=""
    )
    return MemoryRecord(base=base, protocol={}, config={}, seed=0)


TABLES = (library_table([]), *(table(empty()) for table in (documents_table, sleeps_table, chunks_table, costs_table)))


@pytest.mark.parametrize("table", TABLES, ids=lambda table: str(table.columns[0].header))
def test_the_columns_of_ls_and_show_are_those_of_the_pages(table: Table) -> None:
    header = re.compile(r"\s+".join(re.escape(str(column.header)) for column in table.columns) + r"\s*$", re.MULTILINE)
    assert any(header.search(body) for body in shown("console"))


def test_the_keys_of_json_are_those_of_the_pages() -> None:
    assert objects("nrem sleep") == [list(summary(empty(), None))]
    assert objects("nrem ask") == [[field.name for field in fields(Answer)]]
