"""Shell completion: the script that is printed completes verbs, options and files in a real shell."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from pqstore.cli import main

pytest.importorskip("shtab")


@pytest.mark.parametrize("shell", ["bash", "zsh", "tcsh"])
def test_scripts_name_all_verbs(shell: str, capsys) -> None:
    assert main(["completion", shell]) == 0
    script = capsys.readouterr().out
    assert all(verb in script for verb in ("build", "search", "recall", "import", "completion"))


@pytest.mark.skipif(shutil.which("bash") is None, reason="needs bash")
@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("rec", "recall"),
        ("search --for", "--format"),
        ("search --format js", "json"),
        ("build vec", "vectors.npy"),
        ("verify my-i", "my-index"),
        ("build vectors.npy x --metric cos", "cosine"),
    ],
)
def test_bash_completes(files: Path, capsys, words: str, expected: str) -> None:
    assert main(["completion", "bash"]) == 0
    Path("completion.bash").write_text(capsys.readouterr().out)
    typed = ["pqstore", *words.split()]
    quoted = " ".join(f"'{word}'" for word in typed)
    script = (
        "source completion.bash; "
        f"COMP_WORDS=({quoted}); COMP_CWORD={len(typed) - 1}; "
        f"COMP_LINE='{' '.join(typed)}'; COMP_POINT=${{#COMP_LINE}}; "
        "function=$(complete -p pqstore | sed 's/.*-F \\([^ ]*\\).*/\\1/'); $function pqstore; "
        'printf "%s\\n" "${COMPREPLY[@]}"'
    )
    done = subprocess.run(
        ["bash", "--norc", "-c", script],
        capture_output=True,
        text=True,
        check=False,
        timeout=30,
        stdin=subprocess.DEVNULL,
    )
    assert expected in [line.strip().rstrip("/") for line in done.stdout.splitlines()], done
