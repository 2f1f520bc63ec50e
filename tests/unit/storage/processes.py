"""A Python of its own that has an index open."""

from __future__ import annotations

import subprocess
import sys
import textwrap
from pathlib import Path

ROOT = Path(__file__).parents[3]


def start_python(code: str, *arguments: str, **options: object) -> subprocess.Popen[str]:
    prelude = "import sys, numpy as np\nfrom pqstore.storage import Store\n"
    prelude += "from tests.unit.storage.row_packing import RowPacking\n"
    prelude += "CODES = np.arange(80, dtype=np.uint8).reshape(10, 8)\n"
    prelude += "store = Store.open(sys.argv[1], lambda _: RowPacking(8), readonly=len(sys.argv) > 2)\n"
    return subprocess.Popen(  # type: ignore[call-overload,no-any-return]
        [sys.executable, "-c", prelude + textwrap.dedent(code), *arguments],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        **options,
    )
