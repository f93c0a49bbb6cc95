"""Hyper-parameter search: many short runs, each with settings proposed from how the earlier ones went.

space ─► proposal ─► striate.train ─► validation result ─► trials.jsonl ─► next proposal
"""

from striate.tune.record import Trial
from striate.tune.space import Choices, Range, Space, default_space, parse_space
from striate.tune.study import Study, tune

__all__ = ["Choices", "Range", "Space", "Study", "Trial", "default_space", "parse_space", "tune"]
