"""Run by `test_power_cut` with the write log preloaded: trains an index, anew where it is trained, and marks when."""

from __future__ import annotations

import ctypes
import sys

import pqstore
from pqstore.storage.upkeep import rebuilt_copy
from tests.crash.test_kill_training import train

if __name__ == "__main__":
    mark = ctypes.CDLL(None).pqstore_mark
    mark.argtypes = [ctypes.c_uint64]
    rebuilt_copy._WITH_PAYLOADS = 500
    with pqstore.Index.open(sys.argv[1]) as index:
        mark(1)
        train(index)
        mark(2)
