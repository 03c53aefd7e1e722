"""What does `import iceye_async` cost, beside `import aiohttp` alone?

Each import is in a fresh process; the ways are run in turn, and each round gives one ratio.

    python benchmarks/import_time.py [--rounds 25]
"""

import argparse
import platform
import statistics
import subprocess
import sys

PROGRAM = "import time; t = time.process_time(); import {}; print(time.process_time() - t)"


def seconds(module: str) -> float:
    """CPU seconds that one import takes."""
    return float(subprocess.run([sys.executable, "-c", PROGRAM.format(module)], capture_output=True, check=True).stdout)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--rounds", type=int, default=25)
    rounds = parser.parse_args().rounds
    seconds("aiohttp"), seconds("iceye_async")
    pairs = [(seconds("aiohttp"), seconds("iceye_async")) for _ in range(rounds)]
    ratio = statistics.median(ours / theirs for theirs, ours in pairs)
    print(f"CPython {platform.python_version()}, {rounds} rounds; medians of CPU time")
    print(f"import aiohttp      {statistics.median(theirs for theirs, _ in pairs) * 1e3:6.0f} ms")
    print(f"import iceye_async  {statistics.median(ours for _, ours in pairs) * 1e3:6.0f} ms   x aiohttp {ratio:.2f}")


if __name__ == "__main__":
    main()
