"""The solvers: the exact search in this process, and CBC, HiGHS and GLPK through PuLP."""

import shutil
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pulp
from pulp.apis.coin_api import pulp_cbc_path

from hot.autosearch import branch
from hot.autosearch.answer import Answer, Found, certify
from hot.autosearch.external import External
from hot.autosearch.program import Program
from hot.autosearch.reduce import Reduced, reduce_program
from hot.errors import InputError, unknown_name


class Solver(Protocol):
    """Finds the k best solutions of a reduced program and proves them."""

    def search(self, reduced: Reduced, k: int, deadline: float | None = None) -> Found:
        """The k best canonical solutions; at `deadline` (`time.monotonic()`) what there is."""
        ...


@dataclass(frozen=True)
class Exact:
    """Branch and bound over the core, in this process."""

    def search(self, reduced: Reduced, k: int, deadline: float | None = None) -> Found:
        """The k best canonical solutions of `reduced`."""
        return branch.search(reduced, k, deadline)


def make_cbc(time_limit_s: float | None) -> pulp.LpSolver:
    """CBC: the one that PuLP brings, or the one on the path."""
    bundled = Path(pulp_cbc_path)
    path = str(bundled) if bundled.exists() else shutil.which("cbc")
    return pulp.COIN_CMD(path=path, msg=False, timeLimit=time_limit_s, gapRel=0.0, gapAbs=0.0)


def make_highs(time_limit_s: float | None) -> pulp.LpSolver:
    """HiGHS, in this process through highspy."""
    return pulp.HiGHS(msg=False, timeLimit=time_limit_s, gapRel=0.0, gapAbs=0.0)


def make_glpk(time_limit_s: float | None) -> pulp.LpSolver:
    """GLPK's `glpsol`, from the path."""
    # glpsol takes whole seconds
    limit = None if time_limit_s is None else max(int(time_limit_s), 1)
    return pulp.GLPK_CMD(msg=False, timeLimit=limit)


SOLVERS: dict[str, Solver] = {
    "exact": Exact(),
    "cbc": External("cbc", make_cbc, "pip install 'pulp[cbc]' or apt-get install coinor-cbc"),
    "highs": External("highs", make_highs, "pip install highspy"),
    "glpk": External("glpk", make_glpk, "apt-get install glpk-utils (or brew install glpk)"),
}


def run_solver(
    program: Program, k: int, solver: str = "exact", time_limit_s: float | None = None
) -> Answer:
    """The k best solutions of `program` by the solver of this name; none where it is infeasible.

    Raises:
        InputError: unknown or missing solver, k not in 1..size, or a time limit <= 0.
    """
    check_question(program, k, solver, time_limit_s)
    start = time.monotonic()
    deadline = None if time_limit_s is None else start + time_limit_s
    reduced = reduce_program(program)
    found = SOLVERS[solver].search(reduced, k, deadline)
    return certify(program, reduced, found, k, solver, start)


def check_question(program: Program, k: int, solver: str, time_limit_s: float | None) -> None:
    """Raise `InputError` for an unknown solver, k not in 1..size, or a time limit <= 0."""
    if solver not in SOLVERS:
        raise InputError(unknown_name("solver", solver, SOLVERS))
    if k < 1:
        raise InputError(f"top-k must be at least 1, not {k}")
    if k > program.size:
        raise InputError(
            f"top-k is {k}, but the space has only {program.size} architectures; ask for fewer"
        )
    if time_limit_s is not None and not time_limit_s > 0:
        raise InputError(f"the time limit must be greater than 0 s, not {time_limit_s}")
