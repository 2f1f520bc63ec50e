"""Runs a case in a child process under limits: whatever an index holds, pqstore answers rightly or says what is wrong.

A case is a function of a random generator, so that it can be run again: `PQSTORE_FUZZ_SEED=<seed> pytest tests/fuzz`
runs the one case with that seed, `PQSTORE_FUZZ_SECONDS` sets how long new ones are tried.
"""

from __future__ import annotations

import os
import resource
import secrets
import select
import shutil
import signal
import sys
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from pqstore.errors import FilterKindWarning, PQStoreError, UnreadablePayloadWarning
from tests.effort import tries
from tests.memory import private_bytes

__all__ = ["Case", "Outcome", "Steps", "run_case", "run_cases", "seeds"]

TIME_LIMIT = 60.0  # seconds; far beyond what any case takes on a slow machine
MEMORY_LIMIT = 2 << 30  # bytes of private memory, beyond those of the process that runs the tests
FILE_LIMIT = 1 << 30
SECONDS = tries(5, 3600)


def seeds() -> Iterator[int]:
    """New seeds until the time is over, at least one; or the one that was asked for."""
    asked = os.environ.get("PQSTORE_FUZZ_SEED")
    if asked is not None:
        yield int(asked)
        return
    end = time.monotonic() + float(os.environ.get("PQSTORE_FUZZ_SECONDS", SECONDS))
    first = secrets.randbits(40)
    yield first
    while time.monotonic() < end:
        first += 1
        yield first


class Steps:
    """What a case does, step by step, in the child. An error that is no `PQStoreError` ends it."""

    def __init__(self, report: int) -> None:
        self._report = report
        self.refused: list[str] = []
        """The steps that raised a `PQStoreError`."""

    def __call__(self, name: str, work: Callable[[], object]) -> bool:
        """Do one step; whether it raised nothing."""
        os.write(self._report, f"step {name}\n".encode())
        try:
            work()
        except PQStoreError:
            self.refused.append(name)
            return False
        except (FilterKindWarning, UnreadablePayloadWarning):  # an error in tests; what a record says may be so
            return True
        return True


Case: TypeAlias = Callable[[np.random.Generator, Steps], None]


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a case ended: `problem` in words, None when all is well, and the last step that was begun."""

    problem: str | None
    step: str

    def __str__(self) -> str:
        return f"{self.problem or 'nothing wrong'}, in step {self.step or 'none'}"


def run_case(case: Case, seed: int) -> Outcome:
    """Run a case in a child: signals, hangs, too much memory, and errors of other kinds than ours are problems."""
    read, write = os.pipe()
    sys.stdout.flush()
    child = os.fork()
    if child == 0:
        os.close(read)
        _work(case, seed, write)
    os.close(write)
    try:
        told, is_over = _listen(read)
        if not is_over:
            os.kill(child, signal.SIGKILL)
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        os.close(read)
    steps = [line[5:] for line in told.splitlines() if line.startswith("step ")]
    step = steps[-1] if steps else ""
    if not is_over:
        return Outcome(f"no end after {TIME_LIMIT:g} s", step)
    if status < 0:
        return Outcome(f"killed by {signal.Signals(-status).name}", step)
    return Outcome(None if status == 0 else told[told.find("error ") :], step)


def run_cases(case: Case, place: Path) -> None:
    """Run a case with every seed, and empty the place where it works after each; the first problem ends it."""
    count = 0
    for seed in seeds():
        outcome = run_case(case, seed)
        for left in place.iterdir():
            if left.is_dir() and not left.is_symlink():
                shutil.rmtree(left)
            else:
                left.unlink()
        assert outcome.problem is None, f"PQSTORE_FUZZ_SEED={seed}: {outcome}"
        count += 1
    print(f"{count} seeds, up to {seed}: nothing wrong")


def _work(case: Case, seed: int, report: int) -> None:
    """The child's whole life."""
    status = 1
    try:
        memory = private_bytes() + MEMORY_LIMIT
        resource.setrlimit(resource.RLIMIT_DATA, (memory, memory))
        resource.setrlimit(resource.RLIMIT_FSIZE, (FILE_LIMIT, FILE_LIMIT))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        case(np.random.default_rng(seed), Steps(report))
        status = 0
    except BaseException:
        os.write(report, b"error " + traceback.format_exc().encode(errors="replace")[-4000:])
    finally:
        os._exit(status)


def _listen(read: int) -> tuple[str, bool]:
    """What the child tells, and whether it came to an end in time."""
    end, told = time.monotonic() + TIME_LIMIT, b""
    while (left := end - time.monotonic()) > 0:
        ready, _, _ = select.select([read], [], [], left)
        if ready:
            part = os.read(read, 1 << 16)
            if not part:
                return told.decode(errors="replace"), True
            told += part
    return told.decode(errors="replace"), False
