"""Config: layers, overrides, messages, descriptions and comparisons."""

from __future__ import annotations

import math
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from enum import Enum
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import Field, ValidationError, field_validator, model_validator

from rondel.config import (
    Config,
    Layer,
    describe,
    difference,
    json_schema,
    parse_overrides,
    read_recipe,
    resolve,
    setting,
    to_toml,
)
from rondel.errors import ConfigError
from rondel.settings import DomainConfig, OptimizerConfig, RunConfig, UpdateConfig


class Sgd(Config):
    kind: Literal["sgd"] = setting("sgd", help="Kind.")
    lr: float = setting(0.1, help="Learning rate.", gt=0)
    momentum: float = setting(0.0, help="Momentum.", ge=0, lt=1)


class Adam(Config):
    kind: Literal["adam"] = setting("adam", help="Kind.")
    lr: float = setting(1e-3, help="Learning rate.", gt=0)
    beta: float = setting(0.9, help="Beta.")


class Window(Config):
    start: int = setting(0, help="Start.")
    end: int = setting(10, help="End.", unit="s")

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.start >= self.end:
            raise ValueError(f"start {self.start} is not before end {self.end}")
        return self


class Colour(Enum):
    RED = "red"
    BLUE = "blue"


class Everything(Config):
    """One field of every type that configs use."""

    flag: bool = setting(False, help="Flag.")
    count: int = setting(3, help="Count.", ge=0)
    rate: float = setting(0.5, help="Rate.", gt=0)
    name: str = setting("plain", help="Name.")
    title: str | None = setting(None, help="Title.")
    decay: float | None = setting(0.9, help="Decay.", ge=0)
    path: Path = setting(Path("data"), help="Path.")
    shape: Literal["cosine", "linear"] = setting("cosine", help="Shape.")
    tile: Literal[32, 64] | bool = setting(32, help="Tile.")
    colour: Colour = setting(Colour.RED, help="Colour.")
    steps: Annotated[int, Field(gt=0)] | Literal["auto"] = setting("auto", help="Steps.")
    either: int | str = setting("x", help="Number or text.")
    betas: tuple[float, float] = setting((0.9, 0.99), help="Betas.")
    sizes: tuple[int, ...] = setting((), help="Sizes.")
    words: list[str] = setting([], help="Words.")
    weights: dict[str, float] = setting({}, help="Weights.")
    gaps: tuple[float | None, ...] = setting((), help="Numbers, some missing.")
    window: Window = setting(Window(), help="Window.")
    extra: Window | None = setting(None, help="Second window.")
    windows: tuple[Window, ...] = setting((), help="Windows.")
    jobs: dict[str, Window] = setting({}, help="Named windows.")
    rule: Sgd | Adam = setting(Adam(lr=0.5), help="Rule.", discriminator="kind")


def parsed(*items: str, model: type[Config] = Everything) -> Any:
    return resolve(model, [parse_overrides(model, items)]).config


def message(*items: str, model: type[Config] = Everything, layers: tuple[Layer, ...] = ()) -> str:
    with pytest.raises(ConfigError) as caught:
        resolve(model, [*layers, parse_overrides(model, items)])
    return str(caught.value)


# layers


def test_later_layers_win_and_every_value_knows_its_origin(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("epochs = 3\n\n[run]\nseed = 5\nworkers = 2\n")
    layers = [
        read_recipe(recipe),
        parse_overrides(DomainConfig, ["run.workers=4"]),
        Layer("--seed", {"run": {"seed": 9}}),
    ]
    resolved = resolve(DomainConfig, layers)
    assert (resolved.config.epochs, resolved.config.run.workers, resolved.config.run.seed) == (
        3,
        4,
        9,
    )
    assert resolved.origins["epochs"] == f"{recipe}:1"
    assert resolved.origins["run.workers"] == "command line"
    assert resolved.origins["run.seed"] == "--seed"
    assert resolved.origins["run.device"] == "default"


def test_origins_name_every_leaf_of_the_config() -> None:
    origins = resolve(Everything, []).origins
    leaves = {key.name for key in describe(Everything) if "[]" not in key.name}
    leaves = {name for name in leaves if not name.startswith(("extra.", "rule.momentum"))}
    assert set(origins) == leaves
    assert set(origins.values()) == {"default"}


def test_a_group_set_in_part_keeps_the_defaults_of_the_field_it_stands_in() -> None:
    class Special(Config):
        update: UpdateConfig = setting(
            UpdateConfig(optimizer=OptimizerConfig(name="sgd", lr=0.7)), help="Update."
        )

    config = resolve(Special, [Layer("x", {"update": {"optimizer": {"momentum": 0.9}}})]).config
    assert config.update.optimizer == OptimizerConfig(name="sgd", lr=0.7, momentum=0.9)


def test_tables_merge_across_layers_and_lists_are_replaced() -> None:
    first = Layer("a", {"weights": {"x": 1.0}, "sizes": [1, 2]})
    second = Layer("b", {"weights": {"y": 2.0}, "sizes": [3]})
    resolved = resolve(Everything, [first, second])
    assert resolved.config.weights == {"x": 1.0, "y": 2.0}
    assert resolved.config.sizes == (3,)
    assert (resolved.origins["weights.x"], resolved.origins["weights.y"]) == ("a", "b")
    assert first.values == {"weights": {"x": 1.0}, "sizes": [1, 2]}


def test_a_layer_may_hold_groups_as_instances() -> None:
    config = resolve(DomainConfig, [Layer("arguments", {"run": RunConfig(seed=3)})]).config
    assert config.run.seed == 3


def test_a_group_switched_off_and_on_again_follows_the_last_layer() -> None:
    on = Layer("a", {"extra": {"end": 3}})
    assert resolve(Everything, [on, Layer("b", {"extra": "none"})]).config.extra is None
    later = [on, Layer("b", {"extra": None}), Layer("c", {"extra": {"end": 4}})]
    assert resolve(Everything, later).config.extra == Window(end=4)


def test_configs_are_frozen_and_check_their_defaults() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        Everything().count = 4

    class Wrong(Config):
        count: int = setting(-1, help="Count.", ge=0)

    assert message(model=Wrong) == "count: got -1, expected a whole number >= 0"


# overrides


@pytest.mark.parametrize(
    ("item", "key", "value"),
    [
        ("rate=1e-3", "rate", 1e-3),
        ("rate=1_000", "rate", 1000.0),
        ("rate=inf", "rate", math.inf),
        ("count=1_000", "count", 1000),
        ("count=1e6", "count", 1_000_000),
        ("flag=true", "flag", True),
        ("flag=yes", "flag", True),
        ("flag=off", "flag", False),
        ("name=no", "name", "no"),
        ("name=1e-3", "name", "1e-3"),
        ("name=", "name", ""),
        ("name=a=b", "name", "a=b"),
        ("name=none", "name", "none"),
        ("name=[a]", "name", "[a]"),
        ("title=none", "title", None),
        ("decay=null", "decay", None),
        ("path=my photos/größe 1", "path", Path("my photos/größe 1")),
        ("shape=linear", "shape", "linear"),
        ("tile=64", "tile", 64),
        ("tile=on", "tile", True),
        ("colour=blue", "colour", Colour.BLUE),
        ("steps=auto", "steps", "auto"),
        ("steps=12", "steps", 12),
        ("either=12", "either", 12),
        ("either=twelve", "either", "twelve"),
        ("betas=0.5,1e-2", "betas", (0.5, 0.01)),
        ("betas=[0.5, 1]", "betas", (0.5, 1.0)),
        ("sizes=4", "sizes", (4,)),
        ("sizes=", "sizes", ()),
        ("sizes=[]", "sizes", ()),
        ("sizes=[1, 2,]", "sizes", (1, 2)),
        ("gaps=1,none", "gaps", (1.0, None)),
        ("words=a b,no,1", "words", ["a b", "no", "1"]),
        ("words=don't, can't", "words", ["don't", "can't"]),
        ('words=[\'a, b\', "c\\"d"]', "words", ["a, b", 'c"d']),
        ("weights={a = 1, 'b.c' = 2e-1}", "weights", {"a": 1.0, "b.c": 0.2}),
        ("weights.a=2", "weights", {"a": 2.0}),
        ('weights."b.c"=2', "weights", {"b.c": 2.0}),
        ("weights.größe=2", "weights", {"größe": 2.0}),
        ("window.end=7", "window", Window(end=7)),
        ("window={start = 1, end = 7}", "window", Window(start=1, end=7)),
        ("extra.end=7", "extra", Window(end=7)),
        ("extra={}", "extra", Window()),
        ("windows=[{start=1}, {end=2}]", "windows", (Window(start=1), Window(end=2))),
        ("windows={start=1}", "windows", (Window(start=1),)),
        ("jobs.night.end=7", "jobs", {"night": Window(end=7)}),
        ("rule=sgd", "rule", Sgd()),
        ("rule.lr=2", "rule", Adam(lr=2)),
    ],
)
def test_overrides_are_read_by_the_type_of_their_key(item: str, key: str, value: object) -> None:
    found = getattr(parsed(item), key)
    assert found == value
    assert type(found) is type(value)


def test_nan_can_be_written_on_the_command_line() -> None:
    class Loose(Config):
        value: float = setting(0.0, help="Value.")

    assert math.isnan(parsed("value=nan", model=Loose).value)


def test_a_path_below_the_home_directory_is_expanded() -> None:
    assert parsed("path=~/photos").path == Path.home() / "photos"


def test_naming_a_group_sets_its_name_and_keeps_its_other_keys() -> None:
    recipe = Layer("recipe", {"optimizer": {"lr": 0.5}})
    overrides = parse_overrides(UpdateConfig, ["optimizer=sgd"])
    optimizer = resolve(UpdateConfig, [recipe, overrides]).config.optimizer
    assert (optimizer.name, optimizer.lr) == ("sgd", 0.5)
    named = Layer("recipe", {"optimizer": "sgd"})
    overrides = parse_overrides(UpdateConfig, ["optimizer.lr=0.5"])
    assert resolve(UpdateConfig, [named, overrides]).config.optimizer == optimizer


def test_the_later_of_two_values_for_one_key_counts() -> None:
    assert parsed("count=1", "count=2").count == 2


def test_items_without_equals_sign_are_all_reported_with_what_was_expected() -> None:
    with pytest.raises(ConfigError) as caught:
        parse_overrides(Everything, ["count", "--lr", "a b=1", "windows[0].end=3", "=2"])
    assert str(caught.value).splitlines() == [
        "5 config problems:",
        "  command line: 'count' is no key=value. Write count=VALUE, without spaces.",
        "  command line: '--lr' is no key=value. Write lr=VALUE, without spaces.",
        "  command line: 'a b' is no key",
        "  command line: 'windows[0].end' is no key. Lists are set as a whole.",
        "  command line: '' is no key",
    ]


# messages


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("count=five", "count: got 'five', expected a whole number >= 0"),
        ("count=-1", "count: got -1, expected a whole number >= 0"),
        ("count=1.5", "count: got '1.5', expected a whole number >= 0"),
        ("count.a=1", "count: got {'a': '1'}, expected a whole number >= 0"),
        ("rate=0", "rate: got 0.0, expected a number > 0"),
        ("decay=x", "decay: got 'x', expected a number >= 0 or none"),
        ("flag=2", "flag: got '2', expected true or false"),
        ("path=", "path: got '', expected a path"),
        (
            "shape=cosin",
            "shape: got 'cosin', expected one of: cosine, linear. Did you mean 'cosine'?",
        ),
        ("colour=green", "colour: got 'green', expected one of: red, blue"),
        ("steps=0", "steps: got 0, expected a whole number > 0 or one of: auto"),
        ("betas=1", "betas: got [1.0], expected a list of 2 values (a number, a number)"),
        (
            "betas=1,2,3",
            "betas: got [1.0, 2.0, '3'], expected a list of 2 values (a number, a number)",
        ),
        ("sizes=1,x", "sizes[1]: got 'x', expected a whole number"),
        ("weights.a=x", "weights.a: got 'x', expected a number"),
        ("windows=[{end=x}]", "windows[0].end: got 'x', expected a whole number"),
        ("windows=x", "windows[0]: got 'x', expected a group (start, end)"),
        ("extra.ende=1", "extra.ende: unknown key. Did you mean 'end'?"),
        ("extra.end=x", "extra.end: got 'x', expected a whole number"),
        ("jobs.a.ende=1", "jobs.a.ende: unknown key. Did you mean 'end'?"),
        ("rule.beta=x", "rule.beta: got 'x', expected a number"),
        (
            "rule=sdg",
            "rule.kind: got 'sdg', expected one of: sgd, adam. Did you mean 'sgd'?",
        ),
        ("rule.momentum=1", "rule.momentum: unknown key. Only other kinds of 'rule' have it."),
        ("window.end=0", "window: start 0 is not before end 0"),
        ("start=4", "start: unknown key. Did you mean 'window.start' or 'extra.start'?"),
        ("beta=1", "beta: unknown key. Did you mean 'rule.beta'?"),
        ("momentun=1", "momentun: unknown key. Did you mean 'rule.momentum'?"),
        ("Count=1", "Count: unknown key. Did you mean 'count'?"),
        ("learning_rate=1", "learning_rate: unknown key. Did you mean 'rule.lr'?"),
        ("window.zzz=1", "window.zzz: unknown key. Known keys: start, end."),
    ],
)
def test_messages_name_origin_key_value_and_what_is_expected(item: str, expected: str) -> None:
    assert message(item) == f"command line: {expected}"


def test_all_problems_of_all_layers_are_reported_together(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text("[optimizer]\nname = 5\nmomentom = 0.9\n\n[schedule]\nwarmup = true\n")
    text = message("ema=2", "lr=1", model=UpdateConfig, layers=(read_recipe(recipe),))
    assert set(text.splitlines()) == {
        "5 config problems:",
        f"  {recipe}:2: optimizer.name: got 5, expected text",
        f"  {recipe}:3: optimizer.momentom: unknown key. Did you mean 'momentum'?",
        f"  {recipe}:6: schedule.warmup: got True, expected a whole number >= 0",
        "  command line: ema: got 2.0, expected a number >= 0, < 1 or none",
        "  command line: lr: unknown key. Did you mean 'optimizer.lr'?",
    }
    assert "pydantic" not in text


def test_problems_inside_lists_of_tables_name_their_line(tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(
        '[[optimizer.groups]]\nmatch = "a"\n[[optimizer.groups]]\nlr_scale = 2\nlr_scal = 3\n'
    )
    text = message(model=UpdateConfig, layers=(read_recipe(recipe),))
    assert text.splitlines() == [
        "2 config problems:",
        f"  {recipe}:3: optimizer.groups[1].match: a value is required: text",
        f"  {recipe}:5: optimizer.groups[1].lr_scal: unknown key. Did you mean 'lr_scale'?",
    ]


def test_a_missing_value_says_how_to_set_it() -> None:
    class Needs(Config):
        target: str = setting(..., help="Target column.")

    assert (
        message(model=Needs)
        == "target: a value is required: text. Set it in a recipe or with target=VALUE."
    )


def test_a_missing_kind_lists_the_kinds() -> None:
    class Needs(Config):
        rule: Sgd | Adam = setting(..., help="Rule.", discriminator="kind")

    expected = "a value is required: one of: sgd, adam. Set it in a recipe or with rule.kind=VALUE."
    assert message("rule.lr=1", model=Needs) == f"command line: rule.kind: {expected}"


def test_validators_of_users_speak_for_themselves() -> None:
    class Even(Config):
        count: int = setting(2, help="Count.")
        other: int = setting(2, help="Other.")

        @field_validator("count")
        @classmethod
        def _is_even(cls, value: int) -> int:
            if value % 2:
                raise ValueError("must be even")
            return value

        @model_validator(mode="after")
        def _same(self) -> Even:
            if self.count != self.other:
                raise ValueError("count and other must be the same")
            return self

    assert message("count=3", model=Even) == "command line: count: got 3: must be even"
    assert message("count=4", model=Even) == "count and other must be the same"


def test_a_long_offending_value_is_cut() -> None:
    assert len(message(f"count={'x' * 5000}")) < 200


names = st.sampled_from([key.name for key in describe(Everything)]) | st.text(max_size=5)
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=4),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(names, inner, max_size=3),
    max_leaves=6,
)


@settings(deadline=None)
@given(
    st.lists(st.tuples(names, st.text("ab1.,=[]{}'\"\\ -", max_size=9)), max_size=3),
    st.dictionaries(st.sampled_from([*Everything.model_fields, "x"]), values, max_size=3),
)
def test_whatever_is_written_gives_a_config_or_a_config_error(
    items: list[tuple[str, str]], recipe: dict[str, Any]
) -> None:
    complaint = ""
    try:
        overrides = parse_overrides(Everything, [f"{name}={text}" for name, text in items])
        config = resolve(Everything, [Layer("recipe", recipe), overrides]).config
        assert resolve(Everything, [Layer("again", tomllib.loads(to_toml(config)))])
    except ConfigError as error:
        complaint = str(error)
    assert "pydantic" not in complaint
    assert "Input should" not in complaint


# descriptions and comparisons


def test_describe_lists_every_key_in_words() -> None:
    keys = {key.name: key for key in describe(Everything)}
    words = {name: key.type for name, key in keys.items()}
    assert words["rate"] == "float > 0"
    assert words["decay"] == "float >= 0, optional"
    assert words["shape"] == "one of: cosine, linear"
    assert words["steps"] == "int > 0 or one of: auto"
    assert words["betas"] == "(float, float)"
    assert words["sizes"] == "list of int"
    assert words["weights"] == "table of float"
    assert words["windows"] == "list of group"
    assert words["windows[].end"] == "int"
    assert words["extra"] == "group, optional"
    assert words["rule.kind"] == "one of: adam, sgd"
    assert words["rule.momentum"] == "float >= 0, < 1"
    assert "window" not in words
    assert keys["window.end"].unit == "s"
    assert keys["window.end"].help == "End."
    assert keys["path"].default == "data"
    assert keys["colour"].default == "red"
    assert keys["rule.lr"].default == "0.5"
    assert keys["title"].default == "none"


def test_describe_marks_required_and_resumable_keys() -> None:
    class Outer(Config):
        target: str = setting(..., help="Target.")
        window: Window = setting(Window(end=3), help="Window.", resumable=True)

    keys = {key.name: key for key in describe(Outer)}
    assert keys["target"].default == "required"
    assert not keys["target"].resumable
    assert keys["window.end"].resumable
    assert keys["window.end"].default == "3"
    assert {key.name for key in describe(DomainConfig) if key.resumable} >= {"epochs", "run.device"}


def test_difference_names_each_changed_key_and_whether_it_may_change() -> None:
    saved = DomainConfig(epochs=10, run=RunConfig(seed=1))
    new = DomainConfig(epochs=20, run=RunConfig(seed=2, device="cpu"))
    found = {d.key: (d.saved, d.new, d.resumable) for d in difference(DomainConfig, saved, new)}
    assert found == {
        "epochs": (10, 20, True),
        "run.seed": (1, 2, False),
        "run.device": ("auto", "cpu", True),
    }
    assert difference(DomainConfig, saved, saved) == ()


def test_difference_sees_groups_that_only_one_config_has_and_takes_nan_for_equal() -> None:
    saved, new = Everything(), Everything(extra=Window(end=3), rule=Sgd())
    found = {d.key: (d.saved, d.new) for d in difference(Everything, saved, new)}
    assert found == {
        "extra": (None, Window(end=3)),
        "rule.kind": ("adam", "sgd"),
        "rule.lr": (0.5, 0.1),
        "rule.momentum": (None, 0.0),
        "rule.beta": (0.9, None),
    }

    class Loose(Config):
        value: float = setting(math.nan, help="Value.")

    assert difference(Loose, Loose(), Loose(value=float("nan"))) == ()


def test_json_schema_carries_help_and_unit() -> None:
    schema = json_schema(Window)
    assert schema["properties"]["end"]["description"] == "End."
    assert schema["properties"]["end"]["unit"] == "s"


# the settings that domains share


@pytest.mark.parametrize("model", [DomainConfig, UpdateConfig])
def test_shared_settings_resolve_and_write_back(model: type[Config], tmp_path: Path) -> None:
    config = resolve(model, []).config
    recipe = tmp_path / "config.toml"
    recipe.write_text(to_toml(config))
    assert resolve(model, [read_recipe(recipe)]).config == config
    assert all(key.help for key in describe(model))


def test_optimizer_options_leave_out_what_was_not_set() -> None:
    config = parsed("optimizer=sgd", "optimizer.momentum=0.9", model=UpdateConfig)
    assert config.optimizer.options() == {"momentum": 0.9}


def test_importing_configs_loads_neither_torch_nor_other_heavy_libraries() -> None:
    code = (
        "import sys, rondel.config, rondel.settings;"
        "heavy = {'torch', 'numpy', 'rich', 'click', 'pandas', 'pydantic_settings'};"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


class Inner(Config):
    width: int = setting(1, help="How wide.")
    depth: int = setting(2, help="How deep.")


class Suited(Config):
    kind: str = setting("small", help="Which.")
    rate: float = setting(1.0, help="How fast.")
    inner: Inner = setting(Inner(depth=7), help="A group with defaults of its own.")

    @classmethod
    def suiting(cls, values: Mapping[str, Any]) -> Mapping[str, Any]:
        large = values.get("kind") == "large"
        return {"rate": 0.1, "inner": {"width": 9}} if large else {}


def test_defaults_that_suit_a_choice_lie_below_every_layer() -> None:
    plain = resolve(Suited, []).config
    assert (plain.rate, plain.inner.width, plain.inner.depth) == (1.0, 1, 7)
    suited = resolve(Suited, [Layer("recipe", {"kind": "large"})])
    assert (suited.config.rate, suited.config.inner.width, suited.config.inner.depth) == (0.1, 9, 7)
    assert suited.origins["rate"] == suited.origins["inner.width"] == "default"
    own = resolve(Suited, [Layer("recipe", {"kind": "large", "rate": 0.5})])
    assert (own.config.rate, own.origins["rate"]) == (0.5, "recipe")
