"""What the documents say is what happens: commands, snippets, generated pages, examples."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
READMES = [
    "README.md",
    "core/README.md",
    "domains/detection/README.md",
    "domains/text/README.md",
    "domains/tabular/README.md",
    "domains/gan/README.md",
]


def blocks(file: str, language: str) -> list[str]:
    text = (ROOT / file).read_text(encoding="utf-8")
    return re.findall(rf"```{language}\n(.*?)```", text, flags=re.DOTALL)


def run(command: list[str] | str, folder: Path) -> subprocess.CompletedProcess[str]:
    programs = str(Path(sys.executable).parent)
    environment = {**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"}
    return subprocess.run(
        command,
        cwd=folder,
        shell=isinstance(command, str),
        capture_output=True,
        text=True,
        check=False,
        env=environment,
    )


def commands(file: str) -> list[str]:
    """Return the commands of a README that need nothing but an installation."""
    lines = [line for block in blocks(file, "console") for line in block.splitlines()]
    typed = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    return [line for line in typed if line.split()[0] in {"rondel", "python"}]


@pytest.mark.parametrize("file", READMES)
def test_the_commands_of_a_readme_work(file: str, tmp_path: Path) -> None:
    (tmp_path / "examples").symlink_to(ROOT / "examples")
    for command in commands(file):
        done = run(command, tmp_path)
        assert done.returncode == 0, f"{command}\n{done.stdout}\n{done.stderr}"


@pytest.mark.parametrize("file", [*READMES, "docs/own_loop.md", "docs/plugin.md"])
def test_the_snippets_of_a_document_work(file: str, tmp_path: Path) -> None:
    snippets = blocks(file, "python")
    if snippets:
        (tmp_path / "snippet.py").write_text("\n".join(snippets), encoding="utf-8")
        done = run([sys.executable, "snippet.py"], tmp_path)
        assert done.returncode == 0, done.stderr


def test_the_generated_pages_are_fresh() -> None:
    done = run([sys.executable, "docs/generate.py", "--check"], ROOT)
    assert done.returncode == 0, done.stdout


def test_the_example_of_an_own_loop_learns_and_resumes(tmp_path: Path) -> None:
    script = str(ROOT / "examples/own_loop.py")
    first = run([sys.executable, script, "mine"], tmp_path)
    assert first.returncode == 0, first.stderr
    accuracy = re.findall(r"0\.\d+", first.stdout)
    assert min(map(float, accuracy)) > 0.8
    again = run([sys.executable, script, "mine", "--resume"], tmp_path)
    assert again.stdout == first.stdout
