"""The report of a run: one self-contained page and its figures."""

from hot.report.figures import check_figure, pareto_front
from hot.report.gather import Findings, gather
from hot.report.page import write_report

__all__ = ["Findings", "check_figure", "gather", "pareto_front", "write_report"]
