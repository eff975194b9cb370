"""The plugin host: what one plugin does wrong never reaches another."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import click
import pytest

from rondel.domain import Domain
from rondel.errors import PluginError
from rondel.plugins import EntryPoint, PluginHost, entry_points, hookimpl

Plug = Callable[..., EntryPoint]


@pytest.fixture
def plug(monkeypatch: pytest.MonkeyPatch) -> Plug:
    """Make an importable plugin module of functions and return its entry point."""

    def _plug(name: str, distribution: str = "", **members: Any) -> EntryPoint:
        module = ModuleType(f"plugged_{name}_{len(distribution)}")
        for member, value in members.items():
            if callable(value):
                value.__module__ = module.__name__
            setattr(module, member, value)
        monkeypatch.setitem(sys.modules, module.__name__, module)
        return EntryPoint(name, module.__name__, distribution or f"rondel-{name}", "1.0")

    return _plug


def host_of(*entries: EntryPoint, **switches: Any) -> tuple[PluginHost, list[str]]:
    lines: list[str] = []
    return PluginHost(entries=entries, warn=lines.append, **switches), lines


def announce(name: str, **fields: Any) -> Callable[[], Domain]:
    domain = Domain(name=name, summary="", config="a:b", build="a:b", bundle="a:b", **fields)

    def rondel_domain() -> Domain:
        return domain

    return hookimpl(rondel_domain)


def test_a_good_plugin_is_ok_with_its_hooks(plug: Plug) -> None:
    host, lines = host_of(plug("speech", rondel_domain=announce("speech")))
    (record,) = host.records()
    assert (record.state, record.hooks, lines) == ("ok", ("rondel_domain",), [])
    assert host.domain("speech").name == "speech"


def test_a_misspelt_hook_is_answered_with_the_nearest_one(plug: Plug) -> None:
    def rondel_domian() -> None: ...

    host, lines = host_of(plug("speech", rondel_domian=hookimpl(rondel_domian)))
    assert host.records()[0].state == "broken"
    assert lines == [
        (
            "Plugin 'speech' (rondel-speech 1.0) was skipped: "
            "unknown hook 'rondel_domian'. Did you mean 'rondel_domain'?"
        )
    ]


def test_an_unknown_argument_of_a_hook_is_named(plug: Plug) -> None:
    def rondel_run_finished(run: object, result: object) -> None: ...

    host, _ = host_of(plug("log", rondel_run_finished=hookimpl(rondel_run_finished)))
    assert host.records()[0].reason == (
        "rondel_run_finished has an unknown argument 'result'; known: run, outcome"
    )


def test_a_hook_without_its_mark_is_named(plug: Plug) -> None:
    def rondel_callbacks(run: object) -> list[object]:
        return []

    host, _ = host_of(plug("log", rondel_callbacks=rondel_callbacks))
    assert host.records()[0].reason == "rondel_callbacks is not marked with @hookimpl"


def test_a_hook_wrapper_is_refused(plug: Plug) -> None:
    def rondel_commands() -> Any:
        return (yield)

    host, _ = host_of(plug("log", rondel_commands=hookimpl(wrapper=True)(rondel_commands)))
    assert (
        host.records()[0].reason == "rondel_commands is a hook wrapper, which rondel does not call"
    )


def test_a_module_of_another_interface_is_incompatible(plug: Plug) -> None:
    host, lines = host_of(plug("speech", PLUGIN_API=2, rondel_domain=announce("speech")))
    assert host.records()[0].state == "incompatible"
    assert lines == [
        "Plugin 'speech' (rondel-speech 1.0) was skipped: needs plugin API 2, this rondel offers 1."
    ]


def test_a_domain_of_another_interface_is_incompatible(plug: Plug) -> None:
    host, _ = host_of(plug("speech", rondel_domain=announce("speech", api=2)))
    with pytest.raises(PluginError) as caught:
        host.domain("speech")
    assert str(caught.value) == (
        "domain 'speech' cannot be used: Plugin 'speech' (rondel-speech 1.0) is incompatible: "
        "needs plugin API 2, this rondel offers 1. "
        "Install a version of rondel-speech that fits this rondel."
    )


def test_a_domain_cannot_take_a_word_of_the_command_line(plug: Plug) -> None:
    host, _ = host_of(plug("runs", rondel_domain=announce("runs")))
    assert host.records()[0].reason == "a domain cannot be called 'runs'"


def test_an_answer_that_is_no_domain_is_refused(plug: Plug) -> None:
    host, _ = host_of(plug("speech", rondel_domain=hookimpl(lambda: "speech")))
    assert "returned 'speech', not a Domain" in host.records()[0].reason


def test_two_plugins_of_one_name_are_both_out_and_each_names_the_other(plug: Plug) -> None:
    host, lines = host_of(
        plug("speech", "rondel-one", rondel_domain=announce("speech")),
        plug("speech", "rondel-second", rondel_domain=announce("speech")),
    )
    assert [record.state for record in host.records()] == ["duplicate", "duplicate"]
    assert lines == [
        (
            "Plugin 'speech' (rondel-one 1.0) was skipped: "
            "rondel-second 1.0 has a plugin of the same name."
        ),
        (
            "Plugin 'speech' (rondel-second 1.0) was skipped: "
            "rondel-one 1.0 has a plugin of the same name."
        ),
    ]
    with pytest.raises(PluginError, match=r"cannot be used: .*Uninstall one of them"):
        host.domain("speech")


@pytest.mark.parametrize("order", [("a", "b"), ("b", "a")])
def test_two_domains_of_one_name_are_both_out_whatever_loads_first(
    plug: Plug, order: tuple[str, str]
) -> None:
    host, _ = host_of(*(plug(name, rondel_domain=announce("speech")) for name in order))
    assert {record.state for record in host.records()} == {"duplicate"}
    assert host.domains() == {}
    with pytest.raises(PluginError, match=r"also announced by rondel-b 1\.0"):
        host.domain("speech")


def test_asking_for_a_domain_loads_no_other_plugin(plug: Plug) -> None:
    good = plug("speech", rondel_domain=announce("speech"))
    missing = EntryPoint("other", "no_such_module_at_all", "rondel-other", "1.0")
    host, lines = host_of(good, missing)
    host.domain("speech")
    assert lines == []
    host.load()
    assert len(lines) == 1


def test_a_domain_is_found_under_a_plugin_of_another_name(plug: Plug) -> None:
    host, _ = host_of(plug("acoustics", rondel_domain=announce("speech")))
    assert host.domain("speech").name == "speech"


def test_a_broken_domain_is_refused_with_its_reason() -> None:
    host, lines = host_of(EntryPoint("speech", "no_such_module_at_all", "rondel-speech", "0.3.1"))
    with pytest.raises(PluginError) as caught:
        host.domain("speech")
    assert str(caught.value) == (
        "domain 'speech' cannot be used: Plugin 'speech' (rondel-speech 0.3.1) is broken: "
        "ModuleNotFoundError: No module named 'no_such_module_at_all'. "
        "'rondel plugins check speech' shows more."
    )
    assert lines == [], "the error says it already"


def test_a_plugin_that_exits_on_import_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "plugged_exit.py").write_text("raise SystemExit(4)")
    monkeypatch.syspath_prepend(tmp_path)
    host, _ = host_of(EntryPoint("speech", "plugged_exit", "rondel-speech", "1.0"))
    assert host.records()[0].reason == "SystemExit: 4"


def test_an_official_domain_that_is_missing_is_answered_with_how_to_install_it() -> None:
    host, _ = host_of()
    with pytest.raises(PluginError, match=r'Install it with: pip install "rondel\[text\]"$'):
        host.domain("text")
    with pytest.raises(PluginError, match=r"Did you mean 'tabular'\? Install it"):
        host.domain("tabluar")


def test_an_unknown_domain_is_answered_with_the_nearest(plug: Plug) -> None:
    host, _ = host_of(plug("speech", rondel_domain=announce("speech")))
    with pytest.raises(PluginError) as caught:
        host.domain("spech")
    assert str(caught.value) == "no domain is called 'spech'. Did you mean 'speech'?"


def test_a_switched_off_plugin_is_not_imported() -> None:
    entry = EntryPoint("speech", "no_such_module_at_all", "rondel-speech", "1.0")
    by_flag, flag_lines = host_of(entry, disabled=["speech"])
    by_list, list_lines = host_of(entry, allowed=["text"])
    assert by_flag.records()[0].reason == "switched off by --no-plugin"
    assert by_list.records()[0].reason == "left out by RONDEL_PLUGINS"
    assert flag_lines == list_lines == []


@pytest.mark.parametrize(
    ("switch", "loaded"), [("", ["a", "b"]), ("none", []), ("b", ["b"]), (" a , b ", ["a", "b"])]
)
def test_the_environment_chooses_plugins(
    switch: str, loaded: list[str], plug: Plug, monkeypatch: pytest.MonkeyPatch
) -> None:
    entries = [plug(name) for name in "ab"]
    monkeypatch.setattr("rondel.plugins.host.entry_points", lambda group: entries)
    host = PluginHost.from_environment(environment={"RONDEL_PLUGINS": switch})
    assert [record.name for record in host.records() if record.state == "ok"] == loaded


def test_a_hook_that_fails_loses_only_its_own_result(plug: Plug) -> None:
    @hookimpl
    def rondel_callbacks(run: object) -> list[Any]:
        raise ZeroDivisionError("no luck")

    def good() -> Any:
        @hookimpl
        def rondel_callbacks(run: object) -> list[Any]:
            return [f"callback of {run}"]

        return rondel_callbacks

    host, lines = host_of(
        plug("a", rondel_callbacks=good()),
        plug("bad", rondel_callbacks=rondel_callbacks),
        plug("c", rondel_callbacks=good()),
    )
    run: Any = "run 7"
    found: list[Any] = list(host.callbacks(run))
    assert found == ["callback of run 7"] * 2
    assert lines == [
        "Plugin 'bad' (rondel-bad 1.0): rondel_callbacks failed: ZeroDivisionError: no luck."
    ]


def test_a_hook_that_returns_no_list_is_named(plug: Plug) -> None:
    def rondel_callbacks() -> Any:
        return 7

    host, lines = host_of(plug("a", rondel_callbacks=hookimpl(rondel_callbacks)))
    run: Any = None
    assert host.callbacks(run) == []
    assert lines == ["Plugin 'a' (rondel-a 1.0): rondel_callbacks returned int, not a list."]


def test_components_of_a_hook_that_fails_halfway_are_left_out(plug: Plug) -> None:
    @hookimpl
    def rondel_components(registry: Any) -> None:
        registry.add("model", "half", "json:loads")
        raise ValueError("stop")

    @hookimpl(specname="rondel_components")
    def components(registry: Any) -> None:
        registry.add("model", "whole", "json:loads")

    host, _ = host_of(
        plug("bad", rondel_components=rondel_components), plug("good", components=components)
    )
    assert host.registry().names("model") == ("whole",)
    assert host.registry().find("model", "whole").provider == "rondel-good 1.0"


def test_the_end_of_a_run_reaches_every_plugin(plug: Plug) -> None:
    heard: list[object] = []

    @hookimpl
    def rondel_run_finished(outcome: str) -> None:
        heard.append(outcome)

    host, _ = host_of(plug("a", rondel_run_finished=rondel_run_finished))
    run: Any = None
    host.run_finished(run, "done")
    assert heard == ["done"]


def test_a_command_whose_name_is_taken_is_skipped_and_named(plug: Plug) -> None:
    def commands(*names: str) -> Any:
        @hookimpl
        def rondel_commands() -> list[click.Command]:
            return [click.Command(name) for name in names]

        return rondel_commands

    host, lines = host_of(
        plug("a", rondel_commands=commands("serve", "runs")),
        plug("b", rondel_commands=commands("speech")),
        plug("speech", rondel_domain=announce("speech")),
    )
    assert list(host.commands()) == ["serve"]
    assert sorted(lines) == [
        "Plugin 'a' (rondel-a 1.0): command 'runs' was skipped: rondel has that name already.",
        (
            "Plugin 'b' (rondel-b 1.0): command 'speech' was skipped: "
            "rondel-speech 1.0 has that name already."
        ),
    ]


def test_the_scan_finds_what_importlib_metadata_finds() -> None:
    for group in ("pytest11", "console_scripts"):
        ours = {(each.name, each.target, each.version) for each in entry_points(group)}
        theirs = {
            (each.name, each.value.partition("[")[0].strip(), each.dist.version)
            for each in metadata.entry_points(group=group)
            if each.dist is not None
        }
        assert ours == theirs
        assert ours


def test_the_first_copy_of_a_distribution_hides_the_second(tmp_path: Path) -> None:
    for folder, version, spelling in (
        ("first", "2.0", "Rondel_Speech"),
        ("second", "1.0", "rondel.speech"),
    ):
        info = tmp_path / folder / f"{spelling}-{version}.dist-info"
        info.mkdir(parents=True)
        (info / "entry_points.txt").write_text(
            "[other]\na = b\n\n[rondel]\n# no\nspeech = x.y : z\n"
        )
        (info / "METADATA").write_text(f"Name: rondel-speech\nVersion: {version}\n")
    path = [str(tmp_path / "nowhere"), str(tmp_path / "first"), str(tmp_path / "second")]
    assert entry_points("rondel", path) == [EntryPoint("speech", "x.y:z", "rondel-speech", "2.0")]


def test_a_distribution_in_an_archive_is_found(tmp_path: Path) -> None:
    import zipfile

    archive = tmp_path / "rondel_speech.whl"
    with zipfile.ZipFile(archive, "w") as file:
        file.writestr("rondel_speech-1.0.dist-info/METADATA", "Name: rondel-speech\nVersion: 1.0\n")
        file.writestr("rondel_speech-1.0.dist-info/entry_points.txt", "[rondel]\nspeech = a.b\n")
    assert entry_points("rondel", [str(archive)]) == [
        EntryPoint("speech", "a.b", "rondel-speech", "1.0")
    ]
