"""The audit of a data set: what is wrong with its pictures, copies, splits and labels."""

from striate.audit.audit import audit
from striate.audit.findings import Audit, Finding
from striate.audit.kinds import KINDS
from striate.audit.likeness import NEAR
from striate.audit.page import write_page

__all__ = ["KINDS", "NEAR", "Audit", "Finding", "audit", "write_page"]
