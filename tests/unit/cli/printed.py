"""What a command printed."""

from __future__ import annotations

import json


def printed_lines(capsys) -> list[dict]:
    return [json.loads(line) for line in capsys.readouterr().out.splitlines()]
