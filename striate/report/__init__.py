"""The report of a run: one self-contained HTML page made from what was measured."""

from striate.report.facts import BoxFacts, BoxPicture, BoxSizes, Mistake, ReportFacts
from striate.report.page import write_report

__all__ = ["BoxFacts", "BoxPicture", "BoxSizes", "Mistake", "ReportFacts", "write_report"]
