"""Rules that hold for every source file of the repository."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FORBIDDEN = {
    "pickle": "a pickle can run code",
    "marshal": "unmarshalled bytes can run code",
    "torch.load": "it reads pickles",
    "torch.save": "it writes pickles",
    "dcp.load": "its metadata is a pickle",
    "eval": "it runs text as code",
    "exec": "it runs text as code",
    "extractall": "it writes outside of its folder",
    "xml.etree": "it expands entities without end",
    "yaml.load": "it builds any object",
}
EXCEPTIONS = {
    # the benchmark measures what others do
    "benchmarks/checkpoint_cost.py": {"torch.load", "torch.save"},
    "benchmarks/peers/hand_written.py": {"torch.load", "torch.save"},
    "benchmarks/peers/ignite.py": {"torch.load", "torch.save"},
    # a file that others published: its checksum is known, and weights_only runs no code
    "domains/gan/src/rondel_gan/models/inception.py": {"torch.load"},
}
DOMAIN_SOURCES = [f"domains/{path.name}/src" for path in (ROOT / "domains").iterdir()]
# split, so that this file does not match itself
HOSTS = re.compile(
    "py" + r"pi\.org|python" + r"hosted|npm" + r"js\.(org|com)|deb\.debian|download\.py" + r"torch"
)


def sources(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def names_in(tree: ast.AST) -> Iterator[str]:
    """Yield imported modules and dotted names of calls."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)
        elif isinstance(node, ast.Call):
            name = ast.unparse(node.func)
            yield name
            yield name.rsplit(".", 1)[-1] if name.endswith("extractall") else name


def offences(path: Path) -> set[str]:
    found = set(names_in(ast.parse(path.read_text(encoding="utf-8"))))
    used = {word for word in FORBIDDEN if any(n == word or n.startswith(f"{word}.") for n in found)}
    return used - EXCEPTIONS.get(path.relative_to(ROOT).as_posix(), set())


def test_no_source_uses_what_can_run_foreign_code() -> None:
    bad = {
        str(path.relative_to(ROOT)): sorted(offences(path))
        for path in sources("core/src", "domains", "plugins", "examples", "benchmarks", "docs")
        if offences(path) - ({"exec"} if "benchmarks" in path.parts else set())
    }
    assert bad == {}, {name: FORBIDDEN[word[0]] for name, word in bad.items()}


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from torch import load\nx = torch.load('a')",
        "eval('1')",
        "archive.extractall('.')",
        "from xml.etree import ElementTree",
    ],
)
def test_the_rule_would_notice(line: str) -> None:
    found = set(names_in(ast.parse(line)))
    assert any(n == word or n.startswith(f"{word}.") for word in FORBIDDEN for n in found)


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return [ROOT / name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


def test_no_file_names_the_host_of_a_registry() -> None:
    for path in tracked():
        text = path.read_text(encoding="utf-8", errors="ignore")
        assert HOSTS.search(text) is None, path


def functions(tree: ast.AST) -> Iterator[ast.FunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef))


def test_no_function_is_longer_than_sixty_lines() -> None:
    long = [
        f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"
        for path in sources("core/src", "domains", "plugins", "examples", "benchmarks")
        for node in functions(ast.parse(path.read_text(encoding="utf-8")))
        if (node.end_lineno or 0) - node.lineno + 1 > 60
    ]
    assert long == []


def code_lines(path: Path) -> int:
    """Count lines that are neither blank, nor comments, nor docstrings."""
    text = path.read_text(encoding="utf-8")
    skipped: set[int] = set()
    for node in ast.walk(ast.parse(text)):
        body = getattr(node, "body", None)
        if isinstance(body, list) and body and isinstance(body[0], ast.Expr):
            value = body[0].value
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                skipped.update(range(value.lineno, (value.end_lineno or 0) + 1))
    lines = enumerate(text.splitlines(), 1)
    return sum(
        1 for n, line in lines if n not in skipped and line.strip() and line.strip()[0] != "#"
    )


ENGINE = ("run", "cursor", "update", "accumulation", "joint", "loss", "callback", "loop")


def test_the_engine_stays_slim() -> None:
    core = ROOT / "core/src/rondel"
    assert sum(code_lines(core / f"{name}.py") for name in ENGINE) <= 1400


def test_domains_do_not_import_each_other_and_the_core_imports_none() -> None:
    for path in sources("core/src", *DOMAIN_SOURCES):
        own = path.relative_to(ROOT).parts[1] if "domains" in path.parts else ""
        for name in names_in(ast.parse(path.read_text(encoding="utf-8"))):
            for domain in ("detection", "text", "tabular", "gan"):
                if domain != own:
                    assert not name.startswith(f"rondel_{domain}"), path
