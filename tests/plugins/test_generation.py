"""``rondel plugins new``: a package that works as it is written."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from rondel.errors import UsageError
from rondel.plugins import generation

EXAMPLE = Path(__file__).parents[2] / "plugins" / "example"


def test_the_example_is_what_the_generator_writes() -> None:
    rendered = generation.render_package("example")
    kept = {
        path.relative_to(EXAMPLE).as_posix(): path.read_text(encoding="utf-8")
        for path in EXAMPLE.rglob("*")
        if path.is_file() and not {"__pycache__", ".pytest_cache"} & set(path.parts)
    }
    assert kept == rendered


def test_a_package_has_every_room_of_a_domain() -> None:
    files = generation.render_package("my_speech")
    rooms = {path.rpartition("/")[2] for path in files if path.startswith("src/rondel_my_speech/")}
    assert rooms >= {
        f"{room}.py"
        for room in ("__init__", "plugin", "config", "build", "loop", "reader", "bundle")
    }
    assert "class MySpeechLoop(Loop):" in files["src/rondel_my_speech/loop.py"]
    for path, text in files.items():
        assert "$" not in text
        if path.endswith(".py"):
            ast.parse(text)


@pytest.mark.parametrize("name", ["Speech", "1st", "my-speech", "class", "a b", "", "../x"])
def test_a_name_that_is_no_identifier_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{name!r} cannot name a plugin. Use lower-case"):
        generation.write_package(name, tmp_path / "new")


@pytest.mark.parametrize("name", ["plugins", "text"])
def test_a_name_of_rondel_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=f"{name!r} is taken by rondel itself"):
        generation.write_package(name, tmp_path / "new")


def test_a_folder_with_something_in_it_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("keep")
    with pytest.raises(UsageError, match="exists and is not empty"):
        generation.write_package("speech", tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["mine.txt"]


def test_the_name_of_an_installed_plugin_is_refused(
    install_toy: Callable[[], Path],
    command: Callable[..., subprocess.CompletedProcess[str]],
) -> None:
    install_toy()
    done = command("plugins", "new", "toy")
    assert done.returncode == 2
    assert "a plugin called 'toy' is installed" in done.stderr


def test_a_written_package_is_a_domain_with_keys(
    command: Callable[..., subprocess.CompletedProcess[str]], tmp_path: Path
) -> None:
    written = command("plugins", "new", "speech", "--out", "speech")
    assert written.returncode == 0
    assert written.stdout == "pip install -e speech && rondel speech train\n"
    # what an editable installation amounts to: the metadata beside the source
    source = tmp_path / "speech" / "src"
    info = source / "rondel_speech-0.1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Name: rondel-speech\nVersion: 0.1.0\n")
    (info / "entry_points.txt").write_text("[rondel]\nspeech = rondel_speech.plugin\n")
    source.rename(tmp_path / "site")
    keys = command("speech", "config")
    assert keys.returncode == 0
    assert "Column to predict; by default the last one." in keys.stdout


def test_the_reader_names_the_line_that_is_wrong(tmp_path: Path) -> None:
    probe = (
        "from pathlib import Path; from rondel_example.reader import read_table\n"
        "table = read_table(Path('good.csv')); print(table.target, table.rows, table.answers)\n"
        "read_table(Path('bad.csv'))\n"
    )
    (tmp_path / "good.csv").write_text("a,b\n1,2\n3,4\n")
    (tmp_path / "bad.csv").write_text("a,b\n1,2\n3,x\n")
    path = f"{EXAMPLE / 'src'}:{Path(generation.__file__).parents[2]}"
    done = subprocess.run(
        [sys.executable, "-c", probe],
        env={"PYTHONPATH": path},
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.stdout == "b [[1.0], [3.0]] [2.0, 4.0]\n"
    assert "bad.csv:3: could not convert string to float: 'x'" in done.stderr
