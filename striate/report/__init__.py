"""The report of a run: one self-contained HTML page made from what was measured."""

from striate.report.facts import Mistake, ReportFacts
from striate.report.page import write_report

__all__ = ["Mistake", "ReportFacts", "write_report"]
