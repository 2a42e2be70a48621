"""What every benchmark shares: the record of where and how it ran, green tests first, intervals, the raw result file, the last JSON line.

Knows nothing about what is measured.
"""

import argparse
import importlib.util
import json
import os
import platform
import shlex
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table

from nrem.memory.errors import NremError, UsageError
from nrem.runtime.models.load import Base
from nrem.runtime.parts import LIBRARIES

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "benchmarks" / "results"


def make_parser(module: str, description: str) -> argparse.ArgumentParser:
    """The flags that all benchmarks have."""
    parser = argparse.ArgumentParser(prog=f"python -m benchmarks.{module}", description=description)
    parser.add_argument("--config", help="a preset or a TOML file")
    parser.add_argument("--set", action="append", default=[], metavar="a.b=c", help="one setting; may be given again")
    parser.add_argument("--out", type=Path, help="the raw result's file (default: benchmarks/results/)")
    parser.add_argument("--json", action="store_true", help="end with one JSON line on stdout; the table goes to stderr")
    parser.add_argument("--skip-tests", action="store_true", help="do not run the tests of the measured part first")
    return parser


def run(main: Callable[[Sequence[str]], None]) -> None:
    """Run a benchmark's main; a refusal is one sentence and exit code 2 for usage, 1 for failure."""
    try:
        main(sys.argv[1:])
    except NremError as error:
        print(error, file=sys.stderr)
        sys.exit(2 if isinstance(error, UsageError) else 1)


@contextmanager
def stage(name: str) -> Iterator[None]:
    """Say on stderr what is being measured, and how long it took."""
    started = time.perf_counter()
    print(f"{name} ...", end=" ", file=sys.stderr, flush=True)
    yield
    print(f"{time.perf_counter() - started:.1f} s", file=sys.stderr, flush=True)


def require_green(*tests: str) -> None:
    """Refuse to report on what is broken: run these test files and raise `NremError` where one fails. Says so where pytest is missing."""
    if importlib.util.find_spec("pytest") is None:
        print("pytest is not installed: the measured part was not tested first (pip install 'nrem[dev]')", file=sys.stderr)
        return
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not real_model", *tests]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8")
    if done.returncode:
        last = (done.stdout.strip() or done.stderr.strip()).splitlines()[-1:]
        raise NremError(f"{', '.join(tests)}: not green ({' '.join(last)}); mend them first, or measure anyway with --skip-tests")


def environment(base: Base | None = None) -> dict[str, Any]:
    """Hardware, versions, date and command of this run, and the model where one took part; paths are cut to file names, so that a record
    names no one's folders."""
    words = [word.rsplit("/", 1)[-1] if os.path.isabs(word) or word.startswith(".") else word for word in sys.argv[1:]]
    module = Path(sys.argv[0]).stem
    return _model(base) | {
        "hardware": {
            "processor": _processor(),
            "cores": os.cpu_count(),
            "threads": torch.get_num_threads(),
            "load_average": round(os.getloadavg()[0], 2),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        },
        "versions": {"python": platform.python_version()} | {name: metadata.version(name) for name in LIBRARIES},
        "commit": commit(),
        "date": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "command": shlex.join(["python", "-m", f"benchmarks.{module}", *words]),
    }


def _model(base: Base | None) -> dict[str, Any]:
    if base is None:
        return {}
    dtype = str(base.model.dtype).removeprefix("torch.")
    return {"model": base.identity.name, "weights_sha256": base.identity.weights_sha256[:12], "dtype": dtype}


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    values = dict(line.replace("\t", "").split(":", 1) for line in lines if ":" in line)
    kinds = [flag for flag in ("amx_bf16", "avx512_bf16", "avx512f", "avx2") if flag in values.get("flags", "").split()]
    return f"{values.get('model name', platform.processor()).strip()} ({', '.join(kinds[:2])})"


def commit() -> str:
    """Of this checkout; what is not committed does not show in it."""
    done = subprocess.run(["git", "rev-parse", "--short", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=False, encoding="utf-8")
    return done.stdout.strip()


def show(table: Table, *, to_stderr: bool) -> None:
    """Print a table for people."""
    Console(stderr=to_stderr, width=None if sys.stdout.isatty() else 150).print(table)


def finish(name: str, result: dict[str, Any], raw: dict[str, Any], out: Path | None, as_json: bool) -> Path:
    """Write the raw result (the result and more), then the JSON line, last."""
    path = out or RESULTS / f"{name}-{time.strftime('%Y%m%d-%H%M%S', time.gmtime())}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(result | raw, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"raw result: {path}", file=sys.stderr)
    if as_json:
        print(json.dumps(result, ensure_ascii=False), flush=True)
    return path
