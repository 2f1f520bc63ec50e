"""A command that is killed at a chosen call."""

from __future__ import annotations

import signal
import subprocess
import sys
import textwrap

# Kills its own process, as kill -9 would, when a method is called for the given time.
KILLED = textwrap.dedent(
    """
    import os, shutil, signal, sys
    from pathlib import Path
    import pqstore
    from pqstore.cli import main
    from pqstore.storage.transactions.write import WriteTransaction

    owners = {"Index": pqstore.Index, "PQ": pqstore.PQ, "Transaction": WriteTransaction, "Path": Path, "shutil": shutil}
    owner, name, turn = owners[sys.argv[1]], *sys.argv[2:4]
    original, turns = getattr(owner, name), [int(turn)]

    def killing(*arguments, **named):
        turns[0] -= 1
        if turns[0] == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments, **named)

    setattr(owner, name, killing)
    sys.exit(main(sys.argv[4:]))
    """
)


def killed_at(owner: str, name: str, turn: int, line: str) -> None:
    command = [sys.executable, "-c", KILLED, owner, name, str(turn), *line.split()]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
