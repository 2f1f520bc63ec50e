"""Run by `test_power_cut` with the write log preloaded: makes changes, and marks each one that was acknowledged."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path

from pqstore.storage import Store
from pqstore.storage.transactions import attachment_writes
from tests.crash.workload import PACKING, apply, changes

if __name__ == "__main__":
    path, seed, count = Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])
    mark = ctypes.CDLL(None).pqstore_mark
    mark.argtypes = [ctypes.c_uint64]
    # The log speaks of the data file only: files of originals stay, so that every cut finds those it speaks of.
    attachment_writes.remove_originals = lambda generation, segments: None
    with Store.open(path, lambda _: PACKING) as store:
        done = 0
        for change, _ in changes(seed):
            # A new file, whose name the file system makes durable, is not simulated here.
            if change.action in ("compact", "rebuild"):
                continue
            apply(store, change)
            done += 1
            mark(done)
            if done == count:
                break
