"""The router that could ship: fitted to questions about some texts, does it beat every constant mixture of ways on other texts?

    python -m benchmarks.default_router RECORD.json ... --fit RECORD.json ... [--json]

Records are those of `benchmarks.wake` with the arms direct, read and search, or of `benchmarks.routing`; nothing is asked anew. Each is
judged by itself, and all together, at equal FET; intervals by document. The direct answer, which the router looks at, is part of its price.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from statistics import fmean
from typing import Any

from benchmarks.harness import common
from benchmarks.routing import routing_table
from nrem.memory.errors import MissingFileError, UsageError
from nrem.runtime.tune.exchange import exchange
from nrem.runtime.wake.features import FEATURES
from nrem.runtime.wake.router import FIRST, Example, Router

WAYS = ("direct", "read", "search")


def read_examples(path: Path, ways: Sequence[str]) -> list[Example]:
    """The questions of a record that were asked in all of these ways; raises `MissingFileError`, and `UsageError` where there are none."""
    if not path.is_file():
        raise MissingFileError(f"{path}: no such file; measure one with python -m benchmarks.wake --out {path}")
    try:
        record = json.loads(path.read_text(encoding="utf-8"))
        asked = _of_routing(record) if "examples" in record else _of_wake(record)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path}: got {error!r}, expected a record of python -m benchmarks.wake or benchmarks.routing") from None
    found = [
        Example(group=f"{path.stem} {e.group}", features=e.features, right={w: e.right[w] for w in ways}, fet={w: e.fet[w] for w in ways})
        for e in asked
        if set(ways) <= set(e.right)
    ]
    if not found:
        raise UsageError(f"{path}: no question was asked in all of {', '.join(ways)}; measure it again with these arms")
    return found


def _of_routing(record: Mapping[str, Any]) -> list[Example]:
    return [Example.from_dict(row) for row in record["examples"]]


def _of_wake(record: Mapping[str, Any]) -> list[Example]:
    """Under every arm the questions stand in the same order."""
    rows = defaultdict(list)
    for row in record["outcomes"]:
        rows[row["arm"]].append(row)
    found = []
    for same in zip(*rows.values(), strict=True):
        asked = dict(zip(rows, same, strict=True))
        right = {arm: float(row.get("accuracy", row["em"]) == 1) for arm, row in asked.items()}
        fet, first = {arm: float(row["fet"]) for arm, row in asked.items()}, asked[FIRST]
        found.append(Example(group=first["document"], features=tuple(first["features"]), right=right, fet=fet))
    return found


def report(examples: Sequence[Example], router: Router) -> dict[str, Any]:
    """As of `benchmarks.routing`, by a router that has seen none of these texts."""
    ways = list(examples[0].right)
    return {
        "n": len(examples),
        "documents": len({e.group for e in examples}),
        "ways": {way: {"right": 100 * fmean(e.right[way] for e in examples), "fet": fmean(e.fet[way] for e in examples)} for way in ways},
        "hindsight": 100 * fmean(max(e.right.values()) for e in examples),
        "router": [row.to_dict() for row in exchange(examples, router=router)],
    }


def main(arguments: Sequence[str]) -> None:
    parser = common.make_parser("default_router", "Whether a router fitted to other texts beats mixtures of ways.")
    parser.add_argument("records", nargs="+", type=Path, metavar="RECORD", help="what it is judged on")
    parser.add_argument("--fit", nargs="+", type=Path, required=True, metavar="RECORD", help="what it is fitted to")
    parser.add_argument("--ways", default=",".join(WAYS), metavar="W,W", help=f"ways to choose among ({','.join(WAYS)})")
    parser.add_argument("--router", type=Path, metavar="FILE", help="write the router there")
    args = parser.parse_args(arguments)
    ways = args.ways.split(",")
    if FIRST not in ways:
        raise UsageError(f"--ways: got {args.ways!r}, expected {FIRST} among them, which a router looks at")
    if both := {path.resolve() for path in args.records} & {path.resolve() for path in args.fit}:
        raise UsageError(f"--fit: {min(both)} is also judged; a router is judged on texts that it was not fitted to")
    judged = {path.stem: read_examples(path, ways) for path in args.records}
    fitted = [e for path in args.fit for e in read_examples(path, ways)]
    if not args.skip_tests:
        common.require_green("tests/runtime/wake/test_router.py", "tests/runtime/tune/test_calibrate.py")
    router = Router.fit(fitted)
    if args.router:
        args.router.write_text(router.to_json(), encoding="utf-8")
    kinds = {kind: report(examples, router) for kind, examples in judged.items()}
    everything = report([e for examples in judged.values() for e in examples], router)
    for kind, part in (*kinds.items(), ("all", everything)):
        common.show(routing_table(part, f"{kind}: routed by {router.questions} questions about other texts"), to_stderr=args.json)
    weights = {way: dict(zip(FEATURES, head.weights, strict=True)) for way, head in router.heads.items()}
    about = {"questions": router.questions, "documents": router.groups, "weights": weights}
    result = {"benchmark": "default_router", "all": everything, "kinds": kinds, "fitted": about, **common.environment()}
    common.finish("default_router", result, {}, args.out, args.json)


if __name__ == "__main__":
    common.run(main)
