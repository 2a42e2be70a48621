"""Flips: is a memory, or an unfinished sleep, with one bit changed or an end cut off ever believed?

    python -m benchmarks.reliability.flips [--flips 120] [--cuts 20] [--seed 0] [--json]

Every file of both, on a tiny random model. Each case is one of: refused in one sentence, or the same in every value as before, or silent
(it opens and something differs), or a traceback. The last two are to be 0.
"""

import os
import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import torch
from rich.table import Table

from benchmarks.harness import common
from benchmarks.reliability.sound import Sound, contents, environment, make_sound
from nrem.memory.errors import NremError
from nrem.memory.memory import Memory
from nrem.memory.saved.journal import Journal
from nrem.runtime.session.session import Session

TESTS = ("tests/memory/saved/test_journal.py", "tests/memory/saved/test_foreign_folder.py")
OUTCOMES = ("refused", "same", "silent", "traceback")
Read = Callable[[Path], list[bytes]]
"""Everything that a folder says."""


def main(argv: Sequence[str]) -> None:
    parser = common.make_parser("reliability.flips", (__doc__ or "").splitlines()[0])
    parser.add_argument("--flips", type=int, default=120, help="bits of each file")
    parser.add_argument("--cuts", type=int, default=20, help="lengths that each file is cut to")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args(argv)
    if not args.skip_tests:
        common.require_green(*TESTS)
    with tempfile.TemporaryDirectory(prefix="nrem-flips-") as name:
        os.environ["NREM_CACHE"] = f"{name}/cache"
        with common.stage("a sound memory and an unfinished sleep"):
            sound = make_sound(Path(name))
        rows, silent = {}, []
        for kind, folder, read in (("memory", sound.memory, _read_memory), ("journal", sound.unfinished, _reader(sound))):
            expected = read(_copy(folder))
            for file in sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file()):
                with common.stage(f"{kind}/{file}"):
                    found = _try_file(folder, file, args, read, expected)
                rows[f"{kind}/{file}"] = {outcome: found.count(outcome) for outcome in OUTCOMES}
                silent += [f"{kind}/{file}" for outcome in found if outcome in ("silent", "traceback")]
        total = Counter[str]()
        for row in rows.values():
            total.update(row)
        result = {"benchmark": "flips", "seed": args.seed, "total": dict(total), "files": rows} | {"environment": environment(sound.base)}
        common.show(_table(rows, total), to_stderr=args.json)
        common.finish("flips", result, {"not_refused": silent}, args.out, args.json)


def _try_file(folder: Path, file: Path, args: object, read: Read, expected: list[bytes]) -> list[str]:
    flips, cuts, seed = (int(getattr(args, name)) for name in ("flips", "cuts", "seed"))
    mine = _copy(folder)
    path, found = mine / file, []
    content = path.read_bytes()
    for spoilt in _spoilt(content, flips, cuts, random.Random(f"{seed} {file}")):
        path.write_bytes(spoilt)
        found.append(_outcome(mine, read, expected))
        if read is not _read_memory:  # going on changes what lies there
            shutil.rmtree(mine)
            shutil.copytree(folder, mine)
    shutil.rmtree(mine)
    return found


def _spoilt(content: bytes, flips: int, cuts: int, rng: random.Random) -> Iterator[bytes]:
    """Single bits, then ends; all different."""
    for bit in rng.sample(range(8 * len(content)), min(flips, 8 * len(content))):
        yield content[: bit // 8] + bytes([content[bit // 8] ^ (1 << bit % 8)]) + content[bit // 8 + 1 :]
    for length in rng.sample(range(len(content)), min(cuts, len(content))):
        yield content[:length]


def _outcome(folder: Path, read: Read, expected: list[bytes]) -> str:
    try:
        return "same" if read(folder) == expected else "silent"
    except NremError as error:
        return "refused" if "\n" not in str(error) else "traceback"
    except Exception as error:
        print(f"{type(error).__name__}: {error}", file=sys.stderr)
        return "traceback"


def _read_memory(folder: Path) -> list[bytes]:
    return contents(Memory.load(folder))


def _reader(sound: Sound) -> Read:
    def read(folder: Path) -> list[bytes]:
        """What a resumed run goes on from."""
        session = Session(base=sound.base, config=sound.config, journal=Journal.open(folder))
        fast, rule = session.writer.sleeper.fast.tensors(), session.writer.sleeper.rule.state()
        cut_off = session._cut_off.sleep
        tensors = [*fast.values(), *rule.values(), *(cut_off[1].values() if cut_off else ())]
        state = repr((cut_off[0] if cut_off else None, session._cut_off.at, session.ledger.state())).encode()
        raw = [tensor.detach().reshape(-1).view(torch.uint8).numpy().tobytes() for tensor in tensors if tensor.numel()]
        return [state, *contents(session.memory), *raw]

    return read


def _copy(folder: Path) -> Path:
    return Path(shutil.copytree(folder, Path(tempfile.mkdtemp(dir=folder.parent)) / folder.name))


def _table(rows: dict[str, dict[str, int]], total: Counter[str]) -> Table:
    table = Table("file", *OUTCOMES, title="one bit changed, or an end cut off", title_justify="left")
    for name, row in [*rows.items(), ("all", dict(total))]:
        table.add_row(name, *(str(row[outcome]) for outcome in OUTCOMES))
    return table


if __name__ == "__main__":
    common.run(main)
