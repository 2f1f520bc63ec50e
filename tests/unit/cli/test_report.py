"""On a terminal: bars on standard error, tables on standard output; elsewhere plain lines. Nothing waits for ever."""

from __future__ import annotations

import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pqstore.cli.report import Report

pytestmark = pytest.mark.skipif(not hasattr(os, "openpty"), reason="needs a terminal")


def run_on_terminal(line: str, *, stream: str) -> tuple[str, str]:
    """(what the terminal showed, what went elsewhere) of a command with `stream` on a terminal."""
    master, terminal = pty.openpty()
    other = "stdout" if stream == "stderr" else "stderr"
    environment = {**os.environ, "COLUMNS": "120", "TERM": "xterm", "PYTHONUTF8": "1"}
    child = subprocess.Popen(
        [sys.executable, "-m", "pqstore", *line.split()],
        env=environment,
        stdin=subprocess.DEVNULL,
        **{stream: terminal, other: subprocess.PIPE},
    )
    os.close(terminal)
    shown = b""
    deadline = time.monotonic() + 60
    # Read while it runs: a full terminal would block it.
    while time.monotonic() < deadline:
        if not select.select([master], [], [], 1)[0]:
            continue
        try:
            part = os.read(master, 65536)
        except OSError:  # Linux's end of file, when the last writer has closed
            break
        if not part:
            break
        shown += part
    else:
        child.kill()
    os.close(master)
    elsewhere = child.communicate(timeout=60)[0 if other == "stdout" else 1]
    assert child.returncode == 0, shown
    return shown.decode(), elsewhere.decode()


def test_a_terminal_gets_a_progress_bar(files: Path) -> None:
    pytest.importorskip("rich")
    shown, printed = run_on_terminal("add my-index more.npy", stream="stderr")
    assert "has 1,250" in printed
    assert "adding" in shown
    assert "50/50" in shown
    assert "rows/s" in shown


def test_training_has_a_bar_too(files: Path) -> None:
    pytest.importorskip("rich")
    shown, printed = run_on_terminal("build vectors.npy index --M 8 --Ks 16 --iter 4", stream="stderr")
    assert "training" in shown
    assert "1200/1200" in shown
    assert printed.startswith("trained")


def test_a_terminal_gets_a_table(files: Path) -> None:
    pytest.importorskip("rich")
    shown, told = run_on_terminal("search my-index queries.npy -k 2", stream="stdout")
    assert "─" in shown
    assert "distance" in shown
    assert "10 queries more" in told


def test_no_terminal_gets_lines_of_progress_on_standard_error(capsys, monkeypatch) -> None:
    now = [0.0]
    monkeypatch.setattr("pqstore.cli.report.time.monotonic", lambda: now[0])
    with Report().counter("adding", 1000, done=400) as advance:
        for _ in range(6):
            now[0] += 2
            advance(100)
    captured = capsys.readouterr()
    assert captured.out == ""
    # The 400 rows of an earlier run count for the whole, not for the rate.
    assert captured.err.splitlines() == [
        "adding: 700 of 1,000 rows, 6 s left, 50 rows/s",
        "adding: 1,000 of 1,000 rows, 0 s left, 50 rows/s",
    ]


def test_without_rich_there_are_lines(files: Path, monkeypatch) -> None:
    # rich is an extra.
    Path("sitecustomize.py").write_text("import sys; sys.modules['rich'] = None\n")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([os.environ["PYTHONPATH"], str(files)]))
    shown, _ = run_on_terminal("search my-index queries.npy -k 2", stream="stdout")
    assert "─" not in shown
    assert "distance" in shown
