"""Plans of turns: how they are written, and who moves when."""

from __future__ import annotations

from itertools import count, islice

import pytest

from rondel.errors import ConfigError
from rondel_gan.turns import Plan, Turn

PLAYERS = ("D", "G")


def written(plan: Plan, batches: int) -> list[str]:
    """Return who moves in each batch, turns with blanks between them."""
    return [" ".join("+".join(turn.players) for turn in plan.at(batch)) for batch in range(batches)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("D G", ["D G", "D G", "D G", "D G"]),
        ("G D", ["G D", "G D", "G D", "G D"]),
        ("G+D", ["G+D", "G+D", "G+D", "G+D"]),
        ("D*2 G", ["D", "D G", "D", "D G"]),
        ("D*5 G", ["D", "D", "D", "D", "D G", "D"]),
        ("D G*2", ["D G", "G", "D G", "G"]),
        ("D G/4", ["D", "D", "D", "D G", "D"]),
        ("D/2 G", ["G", "D G", "G", "D G"]),
        ("D*2 G/2", ["D", "D", "D", "D G", "D"]),
        ("D G D", ["D G D", "D G D"]),
        ("D*2 G*2", ["D", "D G", "G", "D", "D G", "G"]),
        ("D*2/2 G", ["", "G", "D", "D G", ""]),
    ],
)
def test_a_plan_says_who_moves_in_each_batch(text: str, expected: list[str]) -> None:
    plan = Plan.parse(text, PLAYERS)
    assert written(plan, len(expected)) == expected
    assert str(plan) == text


def test_three_players_may_share_a_turn() -> None:
    plan = Plan.parse("D G+E", ("D", "G", "E"))
    assert plan.turns == (Turn(("D",)), Turn(("G", "E")))
    assert written(plan, 2) == ["D G+E", "D G+E"]


def test_a_turn_that_always_has_its_numbers_is_written_without_them() -> None:
    assert str(Plan.parse("D*1 G/1", PLAYERS)) == "D G"


@pytest.mark.parametrize("text", ["D G", "D*5 G", "D*3/2 G/3", "G+D", "D G D/2"])
@pytest.mark.parametrize("batches", [0, 1, 7, 100])
def test_moves_are_those_that_counting_finds(text: str, batches: int) -> None:
    plan = Plan.parse(text, PLAYERS)
    turns = [turn for batch in islice(count(), batches) for turn in plan.at(batch)]
    found = {name: sum(name in turn.players for turn in turns) for name in PLAYERS}
    assert {name: plan.moves(batches)[name] for name in PLAYERS} == found


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5])
def test_so_many_moves_of_one_make_one_of_the_other(n: int) -> None:
    moves = Plan.parse(f"D*{n} G", PLAYERS).moves(60)
    assert moves == {"D": 60, "G": 60 // n}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("D G G*0", "'G*0' is no turn"),
        ("D G/0", "'G/0' is no turn"),
        ("D-G", "'D-G' is no turn"),
        ("D+ G", "'D+' is no turn"),
        ("D*x G", "'D*x' is no turn"),
        ("D G/2*3", "'G/2*3' is no turn"),
    ],
)
def test_a_turn_that_cannot_be_read_shows_how_to_write_it(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan.parse(text, PLAYERS)
    said = str(caught.value)
    assert said.startswith("turns: ")
    assert message in said
    assert "'*N' batches or '/N' rounds: 'D*5 G'" in said


def test_an_unknown_player_is_named_beside_those_there_are() -> None:
    with pytest.raises(ConfigError) as caught:
        Plan.parse("D*2 G+X", PLAYERS)
    said = str(caught.value)
    assert "turns" in said
    assert "'G+X' names the player 'X'" in said
    assert "This game has D, G." in said


def test_a_player_twice_in_a_turn_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"'D\+D' names a player twice\. Write 'D\*2'"):
        Plan.parse("D+D G", PLAYERS)


@pytest.mark.parametrize(("text", "missing"), [("D", "G"), ("G", "D"), ("", "D")])
def test_a_player_that_never_moves_is_named(text: str, missing: str) -> None:
    with pytest.raises(ConfigError) as caught:
        Plan.parse(text, PLAYERS)
    said = str(caught.value)
    assert f"in {text!r} the player {missing!r} never moves" in said
    assert "Name every player: D, G." in said


def test_a_plan_that_hardly_repeats_is_taken_for_a_mistake() -> None:
    with pytest.raises(ConfigError) as caught:
        Plan.parse("D*100 G/101", PLAYERS)
    said = str(caught.value)
    assert "'D*100 G/101' repeats only after 10100 batches" in said
    assert "smaller numbers" in said
