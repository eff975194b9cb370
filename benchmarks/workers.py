"""Fresh worker processes: each has one thread and a terminal, and answers with JSON.

They get a pseudo-terminal because a progress bar that sees a pipe draws nothing, and would be
measured as free.
"""

from __future__ import annotations

import json
import os
import pty
import re
import subprocess
import sys
import tempfile
import threading
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "KERAS_BACKEND": "torch",
    "KERAS_TORCH_DEVICE": "cpu",
    "MKL_NUM_THREADS": "1",
    "OMP_NUM_THREADS": "1",
    "TERM": "xterm-256color",
}


@dataclass(frozen=True)
class Answer:
    """What a worker left behind: its exit code, its JSON (None if it wrote none), its output."""

    code: int
    content: Any
    output: str = field(repr=False)

    @property
    def reason(self) -> str:
        """Return the line of the output that says best why the worker failed."""
        plain = re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", self.output).replace("\r", "\n")
        lines = [line.strip() for line in plain.splitlines() if line.strip()]
        errors = [line for line in lines if re.match(r"[\w.]*(Error|Exception|Interrupt)\b", line)]
        return (errors or lines or [f"exit code {self.code}, no output"])[-1]


def run_worker(script: Path, arguments: Sequence[str], *, timeout_s: float = 300) -> Answer:
    """Run `script --worker ARGUMENTS --answer FILE` in a fresh interpreter."""
    with tempfile.TemporaryDirectory(prefix="rondel-bench-") as folder:
        answer = Path(folder) / "answer.json"
        command = [sys.executable, str(script), "--worker", *arguments, "--answer", str(answer)]
        code, output = _run_in_terminal(command, cwd=folder, timeout_s=timeout_s)
        content = json.loads(answer.read_text()) if answer.exists() else None
        return Answer(code, content, output)


def _run_in_terminal(command: Sequence[str], *, cwd: str, timeout_s: float) -> tuple[int, str]:
    leader, follower = pty.openpty()
    chunks: list[bytes] = []

    def drain() -> None:
        with suppress(OSError):  # EIO is how Linux reports that the other end was closed
            while chunk := os.read(leader, 65536):
                chunks.append(chunk)

    process = subprocess.Popen(
        command,
        cwd=cwd,
        env={**os.environ, **ENVIRONMENT},
        stdin=subprocess.DEVNULL,
        stdout=follower,
        stderr=follower,
    )
    os.close(follower)
    reader = threading.Thread(target=drain, daemon=True)
    reader.start()
    try:
        code = process.wait(timeout=timeout_s)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
        code, message = -1, f"TimeoutError: no answer in {timeout_s:.0f} s"
        chunks.append(message.encode())
    reader.join(timeout=5)
    os.close(leader)
    return code, b"".join(chunks).decode(errors="replace")
