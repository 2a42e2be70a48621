"""One property in a process of its own, guided by what its inputs reach of nrem: the process that `guided` starts.

    python -m benchmarks.reliability.guided_one NAME SECONDS

Imports nothing of nrem before atheris looks on.
"""

import importlib
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import HealthCheck, given, settings


def fuzz(name: str, seconds: float) -> None:
    """Never returns: libFuzzer ends the process, with another exit code than 0 after a fault."""
    atheris: Any = importlib.import_module("atheris")
    with atheris.instrument_imports(include=["nrem"]):
        from benchmarks.reliability.properties import PROPERTIES
        from benchmarks.reliability.property import outcome

    one, scratch = PROPERTIES[name], Path(tempfile.mkdtemp(prefix="nrem-guided-"))

    @settings(deadline=None, database=None, suppress_health_check=list(HealthCheck))
    @given(one.drawn)
    def holds(drawn: Any) -> None:
        folder = Path(tempfile.mkdtemp(dir=scratch))
        try:
            outcome(one, folder, drawn)
        finally:
            shutil.rmtree(folder)

    test: Any = holds
    atheris.Setup([sys.argv[0], f"-max_total_time={int(seconds)}", f"-artifact_prefix={scratch}/"], test.hypothesis.fuzz_one_input)
    atheris.Fuzz()


if __name__ == "__main__":
    fuzz(sys.argv[1], float(sys.argv[2]))
