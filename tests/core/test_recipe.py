"""Recipes: reading TOML with line numbers, refusing what is none, and writing it back exactly."""

from __future__ import annotations

import math
import tomllib
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rondel.config import Config, Layer, read_recipe, resolve, setting, to_toml
from rondel.config.recipe import key_lines
from rondel.errors import ConfigError


class Part(Config):
    low: float = setting(0.0, help="Low.")
    note: str | None = setting(None, help="Note.")


class Group(Config):
    rate: float | None = setting(0.5, help="Rate.", unit="1/s")
    reduction: Literal["none", "mean"] | None = setting("mean", help="Reduction.")
    part: Part = setting(Part(low=1.0, note="set"), help="Part.")


class Everything(Config):
    flag: bool = setting(False, help="Flag.")
    count: int = setting(3, help="Count.")
    rate: float = setting(0.5, help="Rate.")
    text: str = setting("", help="Text.")
    path: Path = setting(Path("data"), help="Path.")
    day: date | None = setting(None, help="Day.")
    moment: datetime | None = setting(None, help="Moment.")
    pair: tuple[float, int] = setting((1.0, 2), help="Pair.")
    gaps: tuple[float | None, ...] = setting((1.0,), help="Numbers, some missing.")
    names: frozenset[str] = setting(frozenset(), help="Names.")
    table: dict[str, tuple[int, ...]] = setting({"a": (1,)}, help="Table.")
    jobs: dict[str, Part] = setting({}, help="Named parts.")
    group: Group = setting(Group(rate=None), help="Group.")
    extra: Group | None = setting(Group(), help="Group that can be absent.")
    parts: tuple[Part, ...] = setting((Part(),), help="Parts.")
    groups: tuple[Group, ...] = setting((), help="Groups in which there are groups.")


texts = st.text(st.characters(exclude_categories=["Cs"]))
paths = texts.filter(lambda text: "\0" not in text).map(Path)
notes = st.none() | texts.filter(lambda text: text not in ("none", "null", "None"))
parts = st.builds(Part, low=st.floats(), note=notes)
groups = st.builds(
    Group,
    rate=st.none() | st.floats(),
    reduction=st.sampled_from(["none", "mean", None]),
    part=parts,
)
moments = st.datetimes().map(lambda moment: moment.replace(fold=0))  # TOML has no fold
configs = st.builds(
    Everything,
    flag=st.booleans(),
    count=st.integers(),
    rate=st.floats(),
    text=texts,
    path=paths,
    day=st.none() | st.dates(),
    moment=st.none() | moments | moments.map(lambda moment: moment.replace(tzinfo=UTC)),
    pair=st.tuples(st.floats(), st.integers()),
    gaps=st.lists(st.none() | st.floats(), max_size=3).map(tuple),
    names=st.frozensets(texts, max_size=3),
    table=st.dictionaries(texts, st.lists(st.integers(), max_size=2).map(tuple), max_size=3),
    jobs=st.dictionaries(texts, parts, max_size=2),
    group=groups,
    extra=st.none() | groups,
    parts=st.lists(parts, max_size=2).map(tuple),
    groups=st.lists(groups, max_size=2).map(tuple),
)


def written(text: str | bytes, folder: Path) -> Path:
    path = folder / "recipe.toml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


def failure(text: str | bytes, folder: Path) -> str:
    with pytest.raises(ConfigError) as caught:
        read_recipe(written(text, folder))
    return str(caught.value).replace(str(folder / "recipe.toml"), "recipe.toml")


def exact(config: Everything) -> str:
    """Spell a config so that NaN is NaN, -0.0 is not 0.0 and a tuple is no list."""
    return repr(config.model_dump() | {"names": sorted(config.names)})


# writing


@settings(deadline=None)
@given(configs)
def test_a_written_config_reads_back_exactly(config: Everything) -> None:
    values = tomllib.loads(to_toml(config))
    again = resolve(Everything, [Layer("recipe", values)]).config
    assert exact(again) == exact(config)


@settings(deadline=None)
@given(configs)
def test_comments_change_nothing(config: Everything) -> None:
    assert repr(tomllib.loads(to_toml(config, comments=True))) == repr(
        tomllib.loads(to_toml(config))
    )


@settings(deadline=None)
@given(configs)
def test_the_line_of_every_key_of_a_written_config_holds_that_key(config: Everything) -> None:
    text = to_toml(config)
    lines = text.split("\n")
    for key, line in key_lines(text).items():
        last = key.rsplit(".", 1)[-1].split("[")[0]
        assert lines[line - 1].lstrip("[").split(" =")[0].rstrip("]").endswith(last)


def test_a_recipe_is_written_plainly() -> None:
    config = Group(rate=2.0, reduction=None)
    assert to_toml(config) == (
        'rate = 2.0\nreduction = "null"\n\n[part]\nlow = 1.0\nnote = "set"\n'
    )
    assert "rate = 2.0  # Rate. [1/s]\n" in to_toml(config, comments=True)


def test_none_is_left_out_where_it_is_the_default() -> None:
    assert "note" not in to_toml(Part())
    assert 'note = "none"' in to_toml(Group(part=Part()))


def test_a_file_name_that_is_not_unicode_cannot_be_written() -> None:
    with pytest.raises(ConfigError) as caught:
        to_toml(Everything(path=Path("a\udcff")))
    assert str(caught.value) == (
        f"path: {Path(chr(97) + chr(0xDCFF))!r} cannot be written to a recipe, "
        "because it is not Unicode. Rename the file, or choose another text."
    )


# reading

TRICKY = '''\
# a = 1
a = 1 # not [this]

"b c" = "[x] # y"
d.e = """
[no]
x = 1 \\"""
"""
f = [ # comment ]
  "]", '#',
  { g = 1 },
]
h = \'\'\'
i = 2\'\'\'\'\'
[ j . k ]
l = true
[[m]]
n = {}
[[ m ]]
[m.o]
p = ""
[[m.q]]
r = 2020-01-01 10:00:00
[m."s.t"]
u = 1'''


def test_the_scanner_finds_the_line_of_every_key() -> None:
    tomllib.loads(TRICKY)
    assert key_lines(TRICKY) == {
        "a": 2,
        '"b c"': 4,
        "d.e": 5,
        "f": 9,
        "h": 13,
        "j.k": 15,
        "j.k.l": 16,
        "m[0]": 17,
        "m": 17,
        "m[0].n": 18,
        "m[1]": 19,
        "m[1].o": 20,
        "m[1].o.p": 21,
        "m[1].q[0]": 22,
        "m[1].q": 22,
        "m[1].q[0].r": 23,
        'm[1]."s.t"': 24,
        'm[1]."s.t".u': 25,
    }


def test_files_from_windows_are_read(tmp_path: Path) -> None:
    layer = read_recipe(written(b"\xef\xbb\xbfa = 1\r\n\r\nb = 2\r\n", tmp_path))
    assert layer.values == {"a": 1, "b": 2}
    assert layer.lines == {"a": 1, "b": 3}


def test_an_empty_recipe_is_one(tmp_path: Path) -> None:
    assert read_recipe(written("", tmp_path)).values == {}


def test_keys_without_a_line_of_their_own_take_the_line_above_them(tmp_path: Path) -> None:
    layer = read_recipe(written("\na = { b = [1, 2] }\n", tmp_path))
    assert layer.origin_of(("a", "b", 1)).endswith("recipe.toml:2")
    assert layer.origin_of(("z",)).endswith("recipe.toml")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            "a = 1\nb = cosine\n",
            'recipe.toml:2: not valid TOML: Invalid value. Texts stand in quotes, as in name = "adamw".',
        ),
        ("a = 1\na = 2\nb = 3\n", "recipe.toml:2: not valid TOML: this key is set twice"),
        ("a = 1\na = 2", "recipe.toml:2: not valid TOML: this key is set twice"),
        ("[a]\nb = 1\n[a]\nc = 2\n", "recipe.toml:3: not valid TOML: this table is opened twice"),
        ('a = 1\nb = "x', "recipe.toml:2: not valid TOML: Unterminated string"),
        (
            "a = 1\n[b\n",
            "recipe.toml:2: not valid TOML: Expected ']' at the end of a table declaration",
        ),
        (b"a = 1\nb = '\xff'\n", "recipe.toml:2: b'\\xff' is not UTF-8. Save the file as UTF-8."),
    ],
)
def test_a_broken_recipe_is_reported_with_its_line(
    text: str | bytes, expected: str, tmp_path: Path
) -> None:
    assert failure(text, tmp_path) == expected


def test_a_missing_recipe_and_a_directory_say_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        read_recipe(tmp_path / "no.toml")
    assert str(caught.value) == f"{tmp_path / 'no.toml'}: no such recipe. Check the path."
    with pytest.raises(ConfigError) as caught:
        read_recipe(tmp_path)
    assert str(caught.value) == f"{tmp_path}: this is a directory. Name the TOML file in it."


def test_a_path_through_a_file_cannot_be_read(tmp_path: Path) -> None:
    inside = written("", tmp_path) / "x.toml"
    with pytest.raises(ConfigError, match="cannot be read: Not a directory"):
        read_recipe(inside)


def test_infinities_and_nan_survive_a_file(tmp_path: Path) -> None:
    config = Everything(rate=-math.inf, pair=(math.nan, 1))
    layer = read_recipe(written(to_toml(config), tmp_path))
    again: Any = resolve(Everything, [layer]).config
    assert again.rate == -math.inf
    assert math.isnan(again.pair[0])
