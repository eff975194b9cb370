"""What is said without a run or a terminal is kept back where quiet is asked for."""

from __future__ import annotations

import pytest

from rondel.notice import notice, quiet, warn


def test_notices_are_kept_back_and_warnings_are_not(capsys: pytest.CaptureFixture[str]) -> None:
    notice("one")
    with quiet():
        notice("two")
        warn("three")
        with quiet(False):
            notice("four")  # nobody takes back what an outer call asked for
    with quiet(False):
        notice("five")
    assert capsys.readouterr().err.split() == ["one", "three", "five"]
