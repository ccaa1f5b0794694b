"""AutoSearch: the operator of every slot by an exact top-k 0-1 program over look-up tables."""

from hot.autosearch.answer import Answer, Solution
from hot.autosearch.front import SWEEPS, FrontAnswer, front, solve_front
from hot.autosearch.program import (
    LeftOutChoice,
    Objective,
    PeakLimit,
    Program,
    Removal,
    SumLimit,
    as_rows,
)
from hot.autosearch.search import OBJECTIVES, autosearch, baseline, build_program
from hot.autosearch.solvers import SOLVERS, Solver
from hot.autosearch.tables import Amounts, Tables
from hot.autosearch.topk import explain_infeasible, solve

__all__ = [
    "OBJECTIVES",
    "SOLVERS",
    "SWEEPS",
    "Amounts",
    "Answer",
    "FrontAnswer",
    "LeftOutChoice",
    "Objective",
    "PeakLimit",
    "Program",
    "Removal",
    "Solution",
    "Solver",
    "SumLimit",
    "Tables",
    "as_rows",
    "autosearch",
    "baseline",
    "build_program",
    "explain_infeasible",
    "front",
    "solve",
    "solve_front",
]
