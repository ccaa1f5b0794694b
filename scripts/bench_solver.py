#!/usr/bin/env python
"""Top-k by plain no-good cuts (CBC, HiGHS on the full program) against hot's exact search.

    scripts/bench_solver.py --out solver.json          # about ten minutes, most of it plain cuts
    scripts/bench_solver.py --seeds 1 --skip-naive     # seconds

The programs are random and seeded: gains and costs uniform in 0..1, each limit 40 % of the way from
the least possible sum to the mean one. Every run of ours is shown, not the best. Where both ends
prove their k best, the values are compared; a difference ends the script with an error.
"""

import argparse
import math
import sys
import time
from importlib.metadata import version

import numpy as np
import pulp

from hot.autosearch import Objective, Program, SumLimit, as_rows, solve
from hot.autosearch.solvers import make_cbc, make_highs
from hot.files import write_json
from hot.records import provenance, to_document

SIZES = ((7, 18), (20, 50), (46, 197))
NAIVE = {"CBC": make_cbc, "HiGHS": make_highs}


def random_program(n_slots, n_choices, seed, n_limits=2, correlation=0.0, tightness=0.4, levels=0):
    """A random program; `levels` > 0 rounds all numbers to that many, which makes ties."""
    rng = np.random.default_rng(seed)

    def grid(values):
        return np.rint(values * levels) if levels else values

    gain = rng.random((n_slots, n_choices))
    sums = []
    for i in range(n_limits):
        noise = rng.random((n_slots, n_choices))
        cost = grid(correlation * gain + (1 - correlation) * noise)
        least, mean = cost.min(axis=1).sum(), cost.mean(axis=1).sum()
        sums.append(SumLimit(f"cost {i}", as_rows(cost), float(least + tightness * (mean - least))))
    return Program(Objective("gain", as_rows(grid(gain))), tuple(sums))


def equal_slots(n_slots, n_choices, seed):
    """All slots alike: every solution stands for its permutations."""
    one = random_program(1, n_choices, seed, levels=1000)

    def repeat(rows):
        return as_rows([rows[0]] * n_slots)

    sums = tuple(SumLimit(s.name, repeat(s.values), s.limit * n_slots) for s in one.sums)
    return Program(Objective("gain", repeat(one.objective.values)), sums)


def naive_top_k(program, k, make, limit_s, distance=1):
    """(values, seconds) by k solves of the full program, each with one more cut.

    Every solution differs from each before it in at least `distance` slots.
    """
    start = time.perf_counter()
    problem = pulp.LpProblem("naive", pulp.LpMaximize)
    gains = program.objective.values
    x = {
        (s, j): problem.add_variable(f"x_{s}_{j}", cat=pulp.LpBinary)
        for s, row in enumerate(gains)
        for j in range(len(row))
    }
    problem += pulp.LpAffineExpression((x[s, j], float(gains[s][j])) for s, j in x)
    for s, row in enumerate(gains):
        problem += pulp.LpAffineExpression((x[s, j], 1) for j in range(len(row))) == 1
    for limit in program.sums:
        costs = ((x[s, j], float(limit.values[s][j])) for s, j in x)
        problem += pulp.LpAffineExpression(costs) <= limit.limit
    values = []
    while len(values) < k:
        left = limit_s - (time.perf_counter() - start)
        if left <= 0:
            break
        problem.solve(make(left))
        if problem.sol_status != pulp.LpSolutionOptimal:
            break
        taken = [place for place in x if x[place].value() > 0.5]
        values.append(sum(float(gains[s][j]) for s, j in taken))
        problem += pulp.LpAffineExpression((x[p], 1) for p in taken) <= program.n_slots - distance
    return values, time.perf_counter() - start


def run_ours(program, k, limit_s):
    """(values, row of the result) of our exact search."""
    start = time.perf_counter()
    answer = solve(program, k, time_limit_s=limit_s)
    seconds = time.perf_counter() - start
    row = {
        "seconds": round(seconds, 3),
        "is_proven": answer.is_complete,
        "gap": max((s.gap for s in answer.solutions), default=None),
        "n_core": answer.n_core,
        "n_variables": answer.n_variables,
        "n_nodes": answer.n_nodes,
    }
    return [s.value for s in answer.solutions], row


def compare(args):
    """Ours against the plain cuts on `SIZES`, all seeds."""
    rows = []
    for n_slots, n_choices in SIZES:
        for seed in range(args.seeds):
            program = random_program(n_slots, n_choices, seed)
            values, row = run_ours(program, args.k, args.limit)
            row = {"slots": n_slots, "choices": n_choices, "seed": seed, "k": args.k, **row}
            for name, make in {} if args.skip_naive else NAIVE.items():
                naive, seconds = naive_top_k(program, args.k, make, args.limit)
                is_ended = len(naive) == args.k
                if is_ended and row["is_proven"]:
                    check_equal(values, naive, name)
                row[name] = {
                    "seconds": round(seconds, 2),
                    "is_proven": is_ended,
                    "times_ours": round(seconds / row["seconds"], 1),
                }
            rows.append(row)
            show(f"{n_slots} x {n_choices}, seed {seed}", row)
    return rows


def check_equal(ours, naive, name):
    """End the script unless the values agree within the float solver's tolerance."""
    for mine, theirs in zip(ours, sorted(naive, reverse=True), strict=True):
        if not math.isclose(mine, theirs, rel_tol=1e-6):
            sys.exit(f"{name} disagrees: {ours} against {naive}")


def show(what, row):
    """One line on stdout."""
    text = f"{what:44s} {row['seconds']:7.2f} s {'proven' if row['is_proven'] else 'NOT proven'}"
    text += f", core {row['n_core']} of {row['n_variables']}, {row['n_nodes']} nodes"
    for name in NAIVE:
        if name in row:
            more = "" if row[name]["is_proven"] else " (stopped)"
            text += f"; {name} {row[name]['seconds']} s{more} = {row[name]['times_ours']} times"
    print(text, flush=True)


def hard(args):
    """Ours on structures that are harder than independent random numbers."""
    cases = {
        "k = 64": lambda seed: (random_program(46, 197, seed), 64),
        "3 limits": lambda seed: (random_program(46, 197, seed, n_limits=3), args.k),
        "4 limits": lambda seed: (random_program(46, 197, seed, n_limits=4), args.k),
        "tight limits": lambda seed: (random_program(46, 197, seed, tightness=0.15), args.k),
        "correlation 0.5": lambda seed: (random_program(46, 197, seed, correlation=0.5), args.k),
        "correlation 0.9": lambda seed: (random_program(46, 197, seed, correlation=0.9), args.k),
        "10 levels (ties)": lambda seed: (random_program(46, 197, seed, levels=10), args.k),
        "100 levels (ties)": lambda seed: (random_program(46, 197, seed, levels=100), args.k),
        "20 equal slots x 18, k = 64": lambda seed: (equal_slots(20, 18, seed), 64),
    }
    rows = []
    for name, make in cases.items():
        for seed in range(args.seeds):
            program, k = make(seed)
            _, row = run_ours(program, k, args.limit)
            rows.append({"case": name, "seed": seed, "k": k, **row})
            show(f"46 x 197, {name}, seed {seed}" if "equal" not in name else name, row)
    return rows


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", help="write the figures to this JSON file")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--k", type=int, default=8)
    parser.add_argument("--limit", type=float, default=120.0, help="seconds for one run")
    parser.add_argument("--skip-naive", action="store_true", help="ours only")
    args = parser.parse_args()
    solve(random_program(7, 18, 0), 1)  # imports and first calls are not timed
    origin = to_document(provenance())
    origin["versions"] |= {name: version(name) for name in ("highspy", "scipy")}
    result = {
        "command": "python scripts/bench_solver.py --out scripts/results/solver.json",
        "provenance": origin,
        "compared": compare(args),
        "hard": hard(args),
    }
    if args.out:
        write_json(args.out, result)


if __name__ == "__main__":
    main()
