"""The registry: lazy components by kind, name and domain."""

from __future__ import annotations

import json
import sys

import pytest

from rondel.errors import PluginError, UsageError
from rondel.registry import Registry


def test_a_component_is_imported_only_when_it_is_used() -> None:
    sys.modules.pop("colorsys", None)
    registry = Registry()
    registry.add("transform", "hue", "colorsys:rgb_to_hsv")
    assert registry.names("transform") == ("hue",)
    assert "colorsys" not in sys.modules
    assert registry.get("transform", "hue")(1.0, 0.0, 0.0) == (0.0, 1.0, 1.0)


def test_a_component_of_one_domain_is_hidden_from_another() -> None:
    registry = Registry()
    registry.add("reader", "json", "json:loads", domain="text")
    assert registry.get("reader", "json", domain="text") is json.loads
    with pytest.raises(UsageError, match="gan: unknown reader 'json'"):
        registry.get("reader", "json", domain="gan")


def test_a_component_without_a_domain_fits_every_domain() -> None:
    registry = Registry()
    registry.add("reader", "json", "json:loads")
    assert registry.get("reader", "json", domain="gan") is json.loads


def test_an_unknown_name_is_answered_with_close_names_and_their_providers() -> None:
    registry = Registry(provider="rondel-detection 0.1.0")
    registry.add("model", "fasterrcnn", "json:loads", domain="detection")
    registry.add("model", "retinanet", "json:loads", domain="detection")
    with pytest.raises(UsageError) as caught:
        registry.get("model", "fastrcnn", domain="detection")
    assert str(caught.value) == (
        "detection: unknown model 'fastrcnn'. Did you mean 'fasterrcnn' (rondel-detection 0.1.0)?"
    )


def test_a_name_without_a_close_match_is_answered_with_the_list() -> None:
    registry = Registry(provider="rondel-detection 0.1.0")
    registry.add("model", "fasterrcnn", "json:loads")
    with pytest.raises(UsageError, match=r"There are 'fasterrcnn' \(rondel-detection 0.1.0\)\."):
        registry.get("model", "xyz")


def test_a_kind_that_nobody_provides_says_so() -> None:
    with pytest.raises(UsageError, match="No installed plugin provides any launcher here"):
        Registry().get("launcher", "slurm")


def test_two_providers_of_one_name_are_both_named_and_neither_wins() -> None:
    registry = Registry()
    for provider in ("rondel-a 1.0", "rondel-b 2.0"):
        added = Registry(provider=provider)
        added.add("model", "tower", "json:loads")
        registry.include(added)
    with pytest.raises(PluginError, match=r"provided by rondel-a 1\.0 and rondel-b 2\.0\. Leave"):
        registry.get("model", "tower")


def test_adding_the_same_name_twice_is_an_error() -> None:
    registry = Registry(provider="rondel-a 1.0")
    registry.add("model", "tower", "json:loads")
    with pytest.raises(PluginError, match=r"rondel-a 1\.0 adds the model 'tower' twice"):
        registry.add("model", "tower", "json:dumps")


@pytest.mark.parametrize("target", ["json", "json:", ":loads"])
def test_a_target_that_is_no_module_and_attribute_is_an_error(target: str) -> None:
    with pytest.raises(PluginError, match=r"is no component\. Write it as 'package.module:attr'"):
        Registry().add("model", "tower", target)
