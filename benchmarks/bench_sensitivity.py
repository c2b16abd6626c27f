"""Cost of a multiverse of the stenting data against single fits and against one sampled posterior.

Question it answers: do ten thousand analyses together take under ten seconds, and how many times cheaper is that
than ten thousand single fits, and than one fit with NUTS?

    python benchmarks/bench_sensitivity.py                     # 10,125 analyses
    python benchmarks/bench_sensitivity.py --ladder 5 --no-nuts
"""

import argparse
import csv
import platform
import time
from collections.abc import Callable
from pathlib import Path

import bayesmeta as bm
from bayesmeta.resources import data_dir
from bayesmeta.sensitivity import Multiverse, mu_ladder, tau_ladder
from bayesmeta.words import probability_text

SINGLE = 50


def seconds[T](work: Callable[[], T]) -> tuple[float, float, T]:
    """Return elapsed and processor seconds, and the result."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work()
    return time.perf_counter() - wall, time.process_time() - cpu, result


def main() -> None:
    """Print the comparison."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--ladder", type=int, default=15, help="priors of mu and of tau, each")
    parser.add_argument("--outcome", default="mortality")
    parser.add_argument("--no-nuts", action="store_true", help="leave out the sampled posterior")
    parser.add_argument("--record", type=Path, help="append the figures to this CSV file")
    options = parser.parse_args()
    table = bm.read_studies(data_dir() / "rescue_stenting.csv", outcome=options.outcome)
    benefit = "higher" if options.outcome == "favourable_outcome" else "lower"

    def universe() -> Multiverse:
        return bm.multiverse(
            table,
            benefit=benefit,
            measures=("OR", "RR", "RD"),
            zero_cells=[(0.5, "only0"), (0.5, "all"), (0.0, "none")],
            mu=mu_ladder(options.ladder),
            tau=tau_ladder(options.ladder),
        )

    bm.multiverse(table, benefit=benefit, subsets="all", mu="flat()", tau="half_normal(0.5)")
    wall, cpu, result = seconds(universe)
    low, middle, high = result.range()
    print(f"{result.m} analyses together: {wall:.2f} s elapsed, {cpu:.2f} s of processor time")
    said = [probability_text(p, 3) for p in (low, high, middle)]
    print(f"P(benefit), mean effect: {said[0]} to {said[1]}, median {said[2]}")

    effects = bm.effect_sizes(table, "OR")
    pairs = [(m, t) for m in mu_ladder(options.ladder).values() for t in tau_ladder(options.ladder).values()]
    chosen = pairs[:: max(1, len(pairs) // SINGLE)][:SINGLE]
    bm.fit(effects, engine="quadrature")
    _, single, _ = seconds(
        lambda: [bm.fit(effects, priors={"mu": m, "tau": t}, engine="quadrature") for m, t in chosen]
    )
    each = single / len(chosen)
    print(
        f"One single fit: {1e3 * each:.2f} ms of processor time (mean of {len(chosen)}), so {result.m} of them about "
        f"{each * result.m:.0f} s, extrapolated: {each * result.m / cpu:.0f} times the multiverse"
    )
    sampled = float("nan")
    if not options.no_nuts:
        # The first fit compiles the model; the second is what every further one costs.
        first, *_ = seconds(lambda: bm.fit(effects, engine="nuts", seed=1))
        sampled, *_ = seconds(lambda: bm.fit(effects, engine="nuts", seed=2))
        print(
            f"One fit with NUTS: {first:.1f} s elapsed with compilation, {sampled:.1f} s without; the whole multiverse "
            f"takes {wall / sampled:.2f} times as long as the latter"
        )
    if options.record is not None:
        row = {
            "analyses": result.m, "seconds": wall, "processor_seconds": cpu, "single_fit_seconds": each,
            "nuts_seconds": sampled, "python": platform.python_version(), "machine": platform.machine(),
        }  # fmt: skip
        new = not options.record.exists()
        options.record.parent.mkdir(parents=True, exist_ok=True)
        with options.record.open("a", newline="", encoding="utf-8") as file:
            writer = csv.DictWriter(file, fieldnames=list(row))
            if new:
                writer.writeheader()
            writer.writerow(row)


if __name__ == "__main__":
    main()
