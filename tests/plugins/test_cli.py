"""The command line, in a process of its own, beside real distributions."""

from __future__ import annotations

import json
import resource
import statistics
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Install = Callable[..., Path]
RunCommand = Callable[..., "subprocess.CompletedProcess[str]"]

HEAVY = {"torch", "torchvision", "transformers", "pandas", "pydantic", "rich", "matplotlib"}


def rows_of(stdout: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in stdout.splitlines()]


def test_broken_plugins_are_listed_with_their_reasons_and_the_command_works(
    install: Install, install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    hook = "from rondel.plugins import hookimpl\n\n@hookimpl\ndef {}():\n    return None\n"
    install("rondel-raises", plugin="raises", source="import not_there")
    install("rondel-misspelt", plugin="misspelt", source=hook.format("rondel_domian"))
    install("rondel-future", plugin="future", source="PLUGIN_API = 2")
    install("rondel-twin-a", plugin="twin", source="raise RuntimeError('never loaded')")
    install("rondel-twin-b", plugin="twin", source="raise RuntimeError('never loaded')")

    listed = command("plugins", "list", "--json")
    assert listed.returncode == 0
    records = {row["distribution"]: (row["state"], row["reason"]) for row in rows_of(listed.stdout)}
    assert records["rondel-toy"] == ("ok", "")
    assert records["rondel-raises"] == (
        "broken",
        "ModuleNotFoundError: No module named 'not_there'",
    )
    assert records["rondel-misspelt"] == (
        "broken",
        "unknown hook 'rondel_domian'. Did you mean 'rondel_domain'?",
    )
    assert records["rondel-future"] == (
        "incompatible",
        "needs plugin API 2, this rondel offers 1",
    )
    for one, other in ("ab", "ba"):
        reason = f"rondel-twin-{other} 0.3.1 has a plugin of the same name"
        assert records[f"rondel-twin-{one}"] == ("duplicate", reason)

    helped = command("--help")
    assert helped.returncode == 0
    assert "toy" in helped.stdout
    lines = [line for line in helped.stderr.splitlines() if "was skipped" in line]
    assert len(lines) == 5
    assert (
        "Plugin 'raises' (rondel-raises 0.3.1) was skipped: "
        "ModuleNotFoundError: No module named 'not_there'." in lines
    )


def test_a_broken_plugin_says_nothing_where_it_is_not_needed(
    install: Install, install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    install("rondel-raises", plugin="raises", source="import not_there")
    for words in (("version",), ("toy", "--help"), ("toy", "config")):
        done = command(*words)
        assert (done.returncode, done.stderr) == (0, "")


def test_a_broken_domain_ends_with_3_and_its_reason(install: Install, command: RunCommand) -> None:
    install("rondel-speech", plugin="speech", source="import not_there")
    done = command("speech", "train")
    assert done.returncode == 3
    assert done.stderr == (
        "Error: domain 'speech' cannot be used: Plugin 'speech' (rondel-speech 0.3.1) is broken: "
        "ModuleNotFoundError: No module named 'not_there'. "
        "'rondel plugins check speech' shows more.\n"
    )


def test_an_unknown_word_is_answered_with_the_nearest(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    for word, nearest in (("toi", "toy"), ("plugin", "plugins")):
        done = command(word)
        assert done.returncode == 3
        assert f"no domain or command is called {word!r}. Did you mean {nearest!r}?" in done.stderr


def test_an_unknown_verb_is_answered_with_the_verbs(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    done = command("toy", "trian")
    assert done.returncode == 2
    assert done.stderr == (
        "Error: toy has no verb 'trian'. "
        "The verbs are train, evaluate, predict, export, inspect, config, stack.\n"
    )


def test_no_plugin_acts_before_the_plugin_runs_wherever_it_stands(
    install: Install, command: RunCommand, tmp_path: Path
) -> None:
    mark = tmp_path / "imported"
    install("rondel-speech", plugin="speech", source=f"open({str(mark)!r}, 'w')")
    for words in (
        ("--no-plugin", "speech", "plugins", "list"),
        ("plugins", "list", "--no-plugin=speech"),
    ):
        done = command(*words)
        assert done.returncode == 0
        assert "switched off by --no-plugin" in done.stdout
        assert not mark.exists()
    assert command("plugins", "list", RONDEL_PLUGINS="none").returncode == 0
    assert not mark.exists()
    command("plugins", "list")
    assert mark.exists()


def test_a_switch_for_a_plugin_that_does_not_exist_is_an_error(command: RunCommand) -> None:
    done = command("version", "--no-plugin", "speach")
    assert done.returncode == 2
    assert "no plugin is called 'speach'" in done.stderr
    assert "--no-plugin needs the NAME" in command("version", "--no-plugin").stderr


def test_errors_are_json_on_request(command: RunCommand) -> None:
    done = command("nonsense", "--json")
    assert (done.returncode, done.stderr) == (3, "")
    (row,) = rows_of(done.stdout)
    assert (row["event"], row["error"], row["exit_code"]) == ("error", "PluginError", 3)


def test_ranks_above_0_are_silent_and_keep_their_exit_code(command: RunCommand) -> None:
    done = command("nonsense", RANK="1")
    assert (done.returncode, done.stdout, done.stderr) == (3, "", "")


def test_a_domain_has_the_shared_verbs_and_its_own(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    helped = command("toy", "--help")
    for verb in ("train", "evaluate", "predict", "export", "inspect", "config", "stack"):
        assert f"\n  {verb} " in helped.stdout
    assert command("toy", "stack").stdout == "stacked for toy\n"
    assert command("toy", "inspect", "bricks=5").stdout == "5 bricks\n"


def test_own_verbs_that_cannot_be_imported_leave_the_shared_ones(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    site = install_toy()
    (site / "rondel_toy" / "commands.py").write_text("import not_there")
    helped = command("toy", "--help")
    assert helped.returncode == 0
    assert (
        "The verbs of toy are missing: cannot load 'rondel_toy.commands:COMMANDS'" in helped.stderr
    )
    assert command("toy", "config").returncode == 0
    assert command("toy", "stack").returncode == 3


def test_config_lists_every_key(install_toy: Callable[[], Path], command: RunCommand) -> None:
    install_toy()
    table = command("toy", "config").stdout
    assert table.splitlines()[0].split() == ["key", "type", "default", "unit", "help"]
    assert "Bricks of a tower." in table
    rows = {row["name"]: row for row in rows_of(command("toy", "config", "--json").stdout)}
    assert rows["optimizer.lr"]["help"] == "Learning rate."
    assert rows["run.checkpoint_every_s"]["unit"] == "s"


def test_config_tells_where_each_value_comes_from(
    install_toy: Callable[[], Path], command: RunCommand, tmp_path: Path
) -> None:
    install_toy()
    (tmp_path / "recipe.toml").write_text("epochs = 4\n\n[optimizer]\nlr = 0.5\n")
    done = command("toy", "config", "--origin", "--config", "recipe.toml", "bricks=7", "--json")
    rows = {row["name"]: (row["value"], row["origin"]) for row in rows_of(done.stdout)}
    assert rows["bricks"] == (7, "command line")
    assert rows["optimizer.lr"] == (0.5, "recipe.toml:4")
    assert rows["run.seed"] == (0, "default")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--lr", "1e-3"), "No such option '--lr'. Config values are set as optimizer.lr=..."),
        (("--bricks=4",), "No such option '--bricks'. Config values are set as bricks=..."),
        (("--weight-decay",), "Config values are set as optimizer.weight_decay=..."),
        (("--brick",), "No such option '--brick'. Config values are set as bricks=..."),
        (("--sed", "3"), "No such option '--sed'. Did you mean '--seed'?"),
        (("--xyz",), "Config values are set as key=value; 'rondel toy config' lists them."),
    ],
)
def test_an_unknown_option_is_answered_with_the_config_key(
    words: tuple[str, ...],
    message: str,
    install_toy: Callable[[], Path],
    command: RunCommand,
) -> None:
    install_toy()
    done = command("toy", "train", *words)
    assert done.returncode == 2
    assert message in done.stderr


def test_a_config_error_ends_with_2_and_names_the_key(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    install_toy()
    done = command("toy", "inspect", "brickz=4")
    assert done.returncode == 2
    assert "brickz" in done.stderr
    assert "Did you mean 'bricks'?" in done.stderr


def test_check_reports_what_is_good(install_toy: Callable[[], Path], command: RunCommand) -> None:
    install_toy()
    done = command("plugins", "check", "toy")
    assert done.returncode == 0, done.stdout
    assert all(line.startswith("ok") for line in done.stdout.splitlines())
    assert "model tower = rondel_toy.config:ToyConfig" in done.stdout


def test_check_shows_the_traceback_of_a_broken_plugin(
    install: Install, command: RunCommand
) -> None:
    install("rondel-speech", plugin="speech", source="\n\nimport not_there")
    done = command("plugins", "check", "speech")
    assert done.returncode == 3
    assert 'rondel_speech/plugin.py", line 3' in done.stdout
    assert "plugin 'speech': 1 of 1 checks failed" in done.stderr


def test_check_finds_a_heavy_import_and_a_name_that_leads_nowhere(
    install_toy: Callable[[], Path], command: RunCommand
) -> None:
    site = install_toy()
    (site / "pandas.py").write_text("")  # stands for the library: the check is about the name
    commands = site / "rondel_toy" / "commands.py"
    commands.write_text("import pandas\nCOMMANDS = []\n")
    done = command("plugins", "check", "toy", "--json")
    assert done.returncode == 3
    failed = [
        str(row["what"])
        for row in rows_of(done.stdout)
        if row["event"] == "check" and not row["ok"]
    ]
    assert any("imports pandas" in what for what in failed)
    assert any("inspect = rondel_toy.commands:inspect" in what for what in failed)
    assert len(failed) == 2


def test_the_version_names_rondel_torch_and_python(command: RunCommand) -> None:
    (row,) = rows_of(command("version", "--json").stdout)
    assert row["python"] == ".".join(map(str, sys.version_info[:3]))
    assert {"rondel", "torch"} <= set(row)


def test_help_imports_nothing_heavy(install_toy: Callable[[], Path], command: RunCommand) -> None:
    site = install_toy()
    probe = (
        "import sys; from rondel.cli.main import main; code = main(['--help']);"
        f"print('LOADED', sorted({HEAVY!r} & set(sys.modules)), code)"
    )
    (site / "probe.py").write_text(probe)
    done = subprocess.run(
        [sys.executable, site / "probe.py"],
        env={"PYTHONPATH": str(core_folder())},
        capture_output=True,
        text=True,
        check=True,
    )
    assert "\n  toy " in done.stdout
    assert done.stdout.splitlines()[-1] == "LOADED [] 0"


def test_help_costs_at_most_ten_bare_starts(
    install_toy: Callable[[], Path], tmp_path: Path
) -> None:
    install_toy()
    path = f"{tmp_path / 'site'}:{core_folder()}"
    bare, helped = [], []
    for _ in range(7):
        bare.append(cpu_seconds(["-c", "pass"], path))
        helped.append(cpu_seconds(["-m", "rondel.cli", "--help"], path))
    assert statistics.median(helped) <= 10 * statistics.median(bare)


def core_folder() -> Path:
    from rondel import errors

    return Path(errors.__file__).parents[1]


def cpu_seconds(arguments: list[str], path: str) -> float:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(
        [sys.executable, *arguments], env={"PYTHONPATH": path}, capture_output=True, check=True
    )
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
