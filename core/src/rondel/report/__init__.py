"""What one looks at after a run: its record, its page, and a page that compares several runs.

Reading a run directory needs the standard library alone; drawing needs ``rondel[report]``.
"""

from __future__ import annotations

from rondel.report.comparison import write_comparison
from rondel.report.headline import Headline, find_headline
from rondel.report.page import write_report
from rondel.report.run_record import Row, RunRecord, State, Timing

__all__ = [
    "Headline",
    "Row",
    "RunRecord",
    "State",
    "Timing",
    "find_headline",
    "write_comparison",
    "write_report",
]
