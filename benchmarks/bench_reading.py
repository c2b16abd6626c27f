"""Cost of reading many meta-analyses and turning them into effect sizes, against pandas reading the same file.

Question it answers: does a CSV with a million studies in ten thousand meta-analyses become effect sizes in
seconds, and how much do the checks cost over parsing alone?

    python benchmarks/bench_reading.py                       # 1,000,000 rows
    python benchmarks/bench_reading.py --rows 10000 --analyses 100
"""

import argparse
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np


def write_file(path: Path, rows: int, analyses: int, seed: int) -> None:
    """Write `rows` studies in `analyses` meta-analyses of 2x2 counts."""
    import pandas as pd

    rng = np.random.default_rng(seed)
    meta = np.arange(rows) % analyses
    n1, n2 = rng.integers(20, 500, rows), rng.integers(20, 500, rows)
    frame = pd.DataFrame(
        {
            "meta": np.char.add("M", meta.astype(str)),
            "study": np.char.add("Study ", (np.arange(rows) // analyses).astype(str)),
            "events_treatment": rng.binomial(n1, 0.2),
            "n_treatment": n1,
            "events_control": rng.binomial(n2, 0.25),
            "n_control": n2,
        }
    )
    frame.to_csv(path, index=False)


def seconds[T](work: Callable[[], T], repeats: int) -> tuple[float, T]:
    """Return the shortest of `repeats` times, and the last result."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        result = work()
        times.append(time.perf_counter() - start)
    return min(times), result


def main() -> None:
    """Measure and print."""
    import pandas as pd

    from bayesmeta.effects import compute_effects
    from bayesmeta.reading import read_many

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--analyses", type=int, default=10_000)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "many.csv"
        write_file(path, options.rows, options.analyses, options.seed)
        size = path.stat().st_size / 2**20
        plain, _ = seconds(lambda: pd.read_csv(path), options.repeats)
        reading, many = seconds(lambda: read_many(path, by="meta"), options.repeats)
    computing, raw = seconds(lambda: compute_effects("OR", many.columns, group=many.group), options.repeats)
    assert many.k == options.rows
    assert len(many.groups) == options.analyses
    print(f"{many.k:,} studies in {len(many.groups):,} meta-analyses, {size:.0f} MiB")
    print(f"pandas.read_csv       {plain:7.2f} s")
    print(f"read_many             {reading:7.2f} s   {reading / plain:5.2f} x pandas")
    print(f"compute_effects (OR)  {computing:7.2f} s   {int(np.isfinite(raw.yi).sum()):,} effects")
    print(f"file to effects       {reading + computing:7.2f} s   {(reading + computing) / plain:5.2f} x pandas")
    print(f"peak memory           {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:7.0f} MiB")


if __name__ == "__main__":
    main()
