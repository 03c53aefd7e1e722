"""From bytes to models: what does it cost beside plain `json.loads`?

The bodies are the documented samples. Ways are run in turn, and each round gives one ratio.

    python benchmarks/structuring.py [--rounds 41]
"""

import argparse
import json
import platform
import statistics
import time
from collections.abc import Callable
from functools import partial
from importlib.metadata import version
from pathlib import Path

from iceye_async.protocol import wire

DATA = Path(__file__).parent.parent / "tests" / "data"
CALLS = 2000


def per_call(function: Callable[[], object]) -> float:
    """CPU microseconds of one call."""
    began = time.process_time()
    for _ in range(CALLS):
        function()
    return (time.process_time() - began) / CALLS * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=41)
    rounds = parser.parse_args().rounds
    print(f"CPython {platform.python_version()}, cattrs {version('cattrs')}, {rounds} rounds; medians")
    print(f"{'body':<26}{'bytes':>7}{'json us':>9}{'models us':>11}{'x json':>8}")
    for name, read in (
        ("derivatives-206", wire.derivatives),
        ("derivatives-200", wire.derivatives),
        ("products-200", wire.products),
        ("products-by-type-200", wire.products),
    ):
        body = (DATA / f"{name}.json").read_bytes()
        read(body, "task")
        both = (partial(json.loads, body), partial(read, body, "task"))
        samples = [tuple(map(per_call, both)) for _ in range(rounds)]
        plain, ours = (statistics.median(column) for column in zip(*samples, strict=True))
        ratio = statistics.median(mine / theirs for theirs, mine in samples)
        print(f"{name:<26}{len(body):>7}{plain:>9.1f}{ours:>11.1f}{ratio:>8.1f}")


if __name__ == "__main__":
    main()
