"""info: for programs."""

from __future__ import annotations

import json
from pathlib import Path

from pqstore.cli import main


def test_info_as_json(files: Path, capsys) -> None:
    assert main("info my-index --format json".split()) == 0
    facts = json.loads(capsys.readouterr().out)
    assert facts["vectors"] == 1200
    assert facts["M"] == 8
    assert facts["kernel"] in facts["kernels"]
