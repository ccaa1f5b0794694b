#!/usr/bin/env python
"""Diverse picks at the size of Puzzle's published library, against plain cuts by CBC and HiGHS.

    scripts/bench_picks.py --out scripts/results/picks.json
    scripts/bench_picks.py --seeds 1 --skip-naive      # seconds

80 slots x 16 choices, one latency and one memory budget, 10 solutions that differ pairwise in at
least 5 slots, each proven the best of those that are left. The programs are those of
`bench_solver.py`: random and seeded, each limit 40 % of the way from the least sum to the mean one.
The plain way is the same sequence on the whole program through PuLP, one more cut a solve. Where
both ends prove their picks, the values are compared; a difference ends the script with an error.
"""

import argparse
import time
from importlib.metadata import version

from bench_solver import NAIVE, check_equal, naive_top_k, random_program

from hot.autosearch import solve
from hot.files import write_json
from hot.records import provenance, to_document

N_SLOTS, N_CHOICES, N_PICKS, DISTANCE = 80, 16, 10, 5


def run_ours(program, limit_s):
    """(values, row of the result) of our exact search."""
    start, used = time.perf_counter(), time.process_time()
    answer = solve(program, N_PICKS, time_limit_s=limit_s, min_distance=DISTANCE)
    picks = [solution.choices for solution in answer.solutions]
    least = min(
        sum(a != b for a, b in zip(one, other, strict=True))
        for i, one in enumerate(picks)
        for other in picks[:i]
    )
    row = {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(time.process_time() - used, 2),
        "is_proven": answer.is_complete and len(picks) == N_PICKS,
        "least_distance": least,
        "n_nodes": answer.n_nodes,
    }
    return [solution.value for solution in answer.solutions], row


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="write the figures to this JSON file")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one plain run")
    parser.add_argument("--skip-naive", action="store_true", help="ours only")
    args = parser.parse_args()
    solve(random_program(7, 18, 0), 1)  # imports and first calls are not timed
    rows = []
    for seed in range(args.seeds):
        program = random_program(N_SLOTS, N_CHOICES, seed)
        values, row = run_ours(program, args.limit)
        row = {"seed": seed, **row}
        for name, make in {} if args.skip_naive else NAIVE.items():
            naive, seconds = naive_top_k(program, N_PICKS, make, args.limit, DISTANCE)
            is_ended = len(naive) == N_PICKS
            if row["is_proven"]:
                check_equal(values[: len(naive)], naive, name)
            row[name] = {"seconds": round(seconds, 1), "n_picks": len(naive), "is_proven": is_ended}
        rows.append(row)
        print(row, flush=True)
    origin = to_document(provenance())
    origin["versions"] |= {name: version(name) for name in ("highspy", "scipy")}
    result = {
        "command": "python scripts/bench_picks.py --out scripts/results/picks.json",
        "provenance": origin,
        "size": {
            "slots": N_SLOTS, "choices": N_CHOICES, "picks": N_PICKS, "distance": DISTANCE,
            "limit_s": args.limit,
        },
        "rows": rows,
    }  # fmt: skip
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
