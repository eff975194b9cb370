"""The collapse alarm: what each sign says, that it is patient, and that it remembers."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from rondel_gan.alarm import HISTORY, PATIENCE, Alarm
from rondel_gan.config import AlarmConfig

WELL = {
    "spread": 0.9,
    "alike": 0.8,
    "coverage": 0.6,
    "wins": 0.7,
    "gradient": 1.0,
    "novelty": 1.0,
}
SICK = {
    "collapse": ({"spread": 0.2}, ["20 %", "few things to say", "recipe=r3gan"]),
    "alike": ({"alike": 0.04}, ["differ by 4 %", "ignores its noise", "Start anew"]),
    "missing": ({"coverage": 0.008}, ["0.8 % of the real images", "never made", "r3gan"]),
    "winning": ({"wins": 0.999}, ["99.9 %", "learns little", "r1.weight"]),
    "vanishing": ({"gradient": 1e-5}, ["1.0e-05 of what is usual", "saturated", "relativistic"]),
    "copies": ({"novelty": 0.1}, ["0.10 times as far", "repeats them", "Train shorter"]),
}


def alarm(**values: Any) -> Alarm:
    return Alarm(AlarmConfig(**values))


def looked(made: Alarm, times: int, **signs: float) -> list[str]:
    """Look at the same signs so often, all else being well; return what was told."""
    found: list[str] = []
    for _ in range(times):
        found += [str(cry) for cry in made.look({**WELL, **signs})]
    return found


def test_a_game_that_is_well_is_silent() -> None:
    made = alarm()
    assert looked(made, 10) == []
    assert made.ringing == {}
    assert made.section().text == "Silent in all 10 evaluations."


@pytest.mark.parametrize("sign", SICK)
def test_a_sign_is_told_once_with_cause_and_remedy(sign: str) -> None:
    made = alarm()
    looked(made, HISTORY)
    worse, words = SICK[sign]
    assert looked(made, PATIENCE - 1, **worse) == [], "a single look may be chance"
    told = looked(made, 3, **worse)
    assert len(told) == 1
    assert told[0].startswith(f"Alarm ({sign}): ")
    for word in words:
        assert word in told[0]
    assert list(made.ringing) == [sign]


def test_a_game_that_has_just_begun_is_not_looked_at() -> None:
    made = alarm(grace=0.2)
    for seen in (0.05, 0.1, 0.19):
        assert made.look({"spread": 0.0}, seen=seen) == []
    assert made.look({"spread": 0.0}, seen=0.2) == []
    assert [cry.sign for cry in made.look({"spread": 0.0}, seen=0.3)] == ["collapse"]


@pytest.mark.parametrize("sign", SICK)
def test_a_sign_that_comes_and_goes_is_not_told(sign: str) -> None:
    made = alarm()
    looked(made, HISTORY)
    for _ in range(4):
        assert looked(made, PATIENCE - 1, **SICK[sign][0]) == []
        assert looked(made, 1) == []


def test_what_is_well_again_may_be_told_anew() -> None:
    made = alarm()
    assert len(looked(made, PATIENCE, spread=0.1)) == 1
    looked(made, 1)
    assert made.ringing == {}
    assert made.section().text == "At the end: nothing any more."
    assert len(looked(made, PATIENCE, spread=0.1)) == 1
    section = made.section()
    assert section.text == "At the end: collapse."
    assert section.table is not None
    assert [row[:2] for row in section.table.rows] == [[2, "collapse"], [5, "collapse"]]


@pytest.mark.parametrize(
    ("threshold", "signs"),
    [
        ({"spread": 0.1}, {"spread": 0.2}),
        ({"winning": 1.0}, {"wins": 0.999}),
        ({"gradient": 0.0}, {"gradient": 1e-5}),
        ({"novelty": 0.05}, {"novelty": 0.1}),
    ],
)
def test_thresholds_are_those_of_the_config(
    threshold: Mapping[str, float], signs: Mapping[str, float]
) -> None:
    made = alarm(**threshold)
    looked(made, HISTORY)
    assert looked(made, PATIENCE, **signs) == []


def test_a_gradient_is_small_only_beside_those_seen_before() -> None:
    made = alarm()
    assert looked(made, 20, gradient=1e-9) == [], "it was never larger"


def test_signs_that_are_not_known_are_no_signs() -> None:
    made = alarm()
    for _ in range(5):
        assert made.look({}) == []


@pytest.mark.parametrize("sign", SICK)
def test_an_alarm_that_is_put_back_goes_on_as_if_never_cut(sign: str) -> None:
    course = [{}] * HISTORY + [SICK[sign][0]] * PATIENCE + [{}] + [SICK[sign][0]] * PATIENCE
    straight = alarm()
    expected = [looked(straight, 1, **signs) for signs in course]
    assert sum(map(len, expected)) == 2
    for cut in range(len(course)):
        first, second = alarm(), alarm()
        told = [looked(first, 1, **signs) for signs in course[:cut]]
        second.load_state_dict(first.state_dict())
        told += [looked(second, 1, **signs) for signs in course[cut:]]
        assert told == expected
        assert second.state_dict() == straight.state_dict()
        looked(first, 1, spread=0.0)
        assert second.state_dict() == straight.state_dict(), "they share what they remember"
