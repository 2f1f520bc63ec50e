"""How long the command and the package take to start, each run in a process of its own, interleaved.

    python -m benchmarks.cli.startup [RUNS]

Figures are medians (and minima) of wall-clock time; user + system time stands beside them, since a busy machine
stretches the first.
"""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

from benchmarks.data import ROOT, machine

NUMPY = "import numpy"
WORK = {
    "python alone": ["-c", "pass"],
    "import numpy": ["-c", NUMPY],
    "import pqstore": ["-c", f"{NUMPY}; import pqstore"],
    "import pqstore, all public names used": ["-c", f"{NUMPY}; from pqstore import *"],
    "pqstore --help": ["-m", "pqstore", "--help"],
    "pqstore search --help": ["-m", "pqstore", "search", "--help"],
    "pqstore info": ["-m", "pqstore", "info"],
}


def once(arguments: list[str], environment: dict[str, str]) -> tuple[float, float]:
    """(wall-clock seconds, user + system seconds) of one process."""
    started, before = time.perf_counter(), os.times()
    subprocess.run([sys.executable, *arguments], env=environment, stdout=subprocess.DEVNULL, check=True)
    after = os.times()
    used = after.children_user + after.children_system - before.children_user - before.children_system
    return time.perf_counter() - started, used


def main() -> None:
    runs = int(sys.argv[1]) if len(sys.argv) > 1 else 15
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    times: dict[str, list[tuple[float, float]]] = {name: [] for name in WORK}
    for _ in range(runs):
        for name, arguments in WORK.items():
            times[name].append(once(arguments, environment))
    print(
        f"{machine()}, load {os.getloadavg()[0]:.1f}, {runs} runs, {Path(sys.executable).name} {sys.version.split()[0]}"
    )
    print(f"{'':40} {'wall: median':>13} {'least':>8} {'cpu: median':>12} {'least':>8}")
    for name, pairs in times.items():
        wall, cpu = zip(*pairs, strict=True)
        print(f"{name:40} {median(wall):11.3f} s {min(wall):6.3f} s {median(cpu):10.3f} s {min(cpu):6.3f} s")
    for name in ("import pqstore", "import pqstore, all public names used"):
        over = [
            (mine[0] - numpy[0], mine[1] - numpy[1])
            for mine, numpy in zip(times[name], times["import numpy"], strict=True)
        ]
        wall, cpu = zip(*over, strict=True)
        print(f"{name + ', over import numpy':55} wall {median(wall):.3f} s, cpu {median(cpu):.3f} s (bar 0.045)")


if __name__ == "__main__":
    main()
