"""Which kernels run is visible and can be forced; what cannot run is refused."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys

import pytest

from pqstore.errors import KernelError
from pqstore.kernels import available, get
from pqstore.native import native_module


def run(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], env={**os.environ, **environment}, capture_output=True, text=True, check=False
    )


def test_numpy_is_always_there_and_last() -> None:
    assert available()[-1] == "numpy"
    assert all(get(name).name == name for name in available())


@pytest.mark.parametrize("name", available())
def test_the_environment_forces_each(name: str) -> None:
    result = run("import pqstore.kernels as k; print(k.active().name)", PQSTORE_KERNEL=name)
    assert result.stdout.strip() == name, result.stderr


def test_unset_or_empty_means_the_best() -> None:
    result = run("import pqstore.kernels as k; print(k.active().name)", PQSTORE_KERNEL="")
    assert result.stdout.strip() == available()[0], result.stderr


def test_unknown_names_are_refused() -> None:
    result = run("import pqstore.kernels as k; k.active()", PQSTORE_KERNEL="avx9")
    assert result.returncode != 0
    assert "KernelError: no kernel 'avx9' on this machine: choose one of" in result.stderr
    with pytest.raises(KernelError, match="avx9"):
        get("avx9")


def test_never_built_is_not_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pqstore.native._NAME", "pqstore._never_built")
    native_module.cache_clear()
    try:
        assert native_module() is None
        assert available() == ("numpy",)
    finally:
        native_module.cache_clear()


def test_built_and_broken_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    # A module that is there but misses something it needs must not pass for one that was never built.
    def broken(name: str) -> None:
        raise ModuleNotFoundError("No module named 'something_else'", name="something_else")

    monkeypatch.setattr(importlib, "import_module", broken)
    native_module.cache_clear()
    try:
        with pytest.raises(ModuleNotFoundError, match="something_else"):
            available()
    finally:
        native_module.cache_clear()


NEVER_BUILT = """
import pqstore.native
pqstore.native._NAME = "pqstore._never_built"
import pqstore.kernels as k
k.active(); k.active()
print(k.active().name)
"""


def test_missing_kernels_are_told_once() -> None:
    # An install whose compiler failed was silent, and several times slower.
    result = run(NEVER_BUILT, PQSTORE_KERNEL="")
    assert result.stdout.strip() == "numpy", result.stderr
    assert result.stderr.count("MissingKernelsWarning") == 1
    assert "<string>:5" in result.stderr  # the caller's line
    assert result.stderr.count("without its compiled module") == 2  # the warning, and the logger
    assert "PQSTORE_KERNEL=numpy" in result.stderr


@pytest.mark.parametrize(
    ("code", "kernel"),
    [
        (NEVER_BUILT, "numpy"),
        ("import pqstore.kernels as k; print(k.active().name)", ""),
    ],
)
def test_who_asked_for_numpy_or_has_kernels_hears_nothing(code: str, kernel: str) -> None:
    if not kernel and native_module() is None:
        pytest.skip("there is no compiled module here")
    result = run(code, PQSTORE_KERNEL=kernel)
    assert result.returncode == 0
    assert result.stderr == ""


def test_the_warning_can_be_silenced_and_made_an_error() -> None:
    quiet = "import warnings, logging, pqstore\nlogging.getLogger('pqstore').addHandler(logging.NullHandler())\n"
    silenced = quiet + "warnings.simplefilter('ignore', pqstore.MissingKernelsWarning)\n" + NEVER_BUILT
    assert run(silenced, PQSTORE_KERNEL="").stderr == ""
    strict = quiet + "warnings.simplefilter('error', pqstore.MissingKernelsWarning)\n" + NEVER_BUILT
    assert "MissingKernelsWarning" in run(strict, PQSTORE_KERNEL="").stderr.splitlines()[-1]


def test_the_choice_is_logged() -> None:
    code = "import logging; logging.basicConfig(level='INFO'); import pqstore.kernels as k; k.active(); k.active()"
    result = run(code, PQSTORE_KERNEL="numpy")
    assert result.stderr == f"INFO:pqstore:kernels: numpy, of {', '.join(available())}\n"
