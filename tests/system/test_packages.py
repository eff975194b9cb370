"""What is in the wheels: everything that runs, and nothing that registries refuse."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
DISTRIBUTIONS = {
    "core": "rondel",
    "domains/detection": "rondel_detection",
    "domains/tabular": "rondel_tabular",
    "domains/gan": "rondel_gan",
    "domains/text": "rondel_text",
    "plugins/example": "rondel_example",
}


@pytest.mark.parametrize(("folder", "package"), DISTRIBUTIONS.items())
def test_a_wheel_holds_every_file_of_its_package(folder: str, package: str, tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    done = subprocess.run(build, cwd=ROOT / folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (wheel,) = tmp_path.glob("*.whl")
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if name.startswith(f"{package}/")}
    source = ROOT / folder / "src"
    files = {
        path.relative_to(source).as_posix()
        for path in source.rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == files


@pytest.mark.parametrize("folder", DISTRIBUTIONS)
def test_a_published_distribution_names_no_place(folder: str) -> None:
    project = tomllib.loads((ROOT / folder / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    wanted = [*project["dependencies"], *(item for extra in extras for item in extra)]
    assert not [item for item in wanted if "@" in item]


def test_the_root_refers_to_the_distributions_beside_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert "Private :: Do Not Upload" in project["classifiers"]
    extras = project["optional-dependencies"]
    for name in ("detection", "text", "tabular", "gan"):
        assert extras[name] == [f"rondel-{name} @ {{root:uri}}/domains/{name}"]


def test_constraints_are_names_and_versions_only() -> None:
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        name, _, version = line.partition("==")
        assert name.replace("-", "").replace("_", "").isalnum(), line
        assert version[0].isdigit(), line
