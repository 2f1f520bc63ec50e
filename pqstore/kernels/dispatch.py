"""Which kernels run: the best that this machine has, or the one that PQSTORE_KERNEL names."""

from __future__ import annotations

import os
from collections.abc import Sequence
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32, F64, I64
from pqstore.errors import KernelError, MissingKernelsWarning
from pqstore.kernels import reference
from pqstore.kernels.chunk import CodeChunk, OriginalChunk, OriginalKind
from pqstore.kernels.code_layout import CodeLayout
from pqstore.kernels.compiled import CompiledKernels
from pqstore.kernels.contract import Kernels, Searcher
from pqstore.kernels.reference.searching import ReferenceSearcher
from pqstore.log import info, warning
from pqstore.native import native_module
from pqstore.warning import warn_caller

__all__ = ["active", "available", "get"]


class NumpyKernels:
    """The reference as a set of kernels; `threads` changes nothing, as it must."""

    name = "numpy"

    def dtables(self, queries: F32, codewords: F32, metric: str) -> F32:
        return reference.dtables(queries, codewords, metric)

    def adist(self, dtable: F32, codes: npt.NDArray[Any], threads: int = 1) -> F32:  # noqa: ARG002
        return reference.adist(dtable, codes)

    def encode(self, vectors: F32, codewords: F32, threads: int = 1) -> npt.NDArray[Any]:  # noqa: ARG002
        return reference.encode(vectors, codewords)

    def lloyd_step(self, groups: F32, codewords: F32, threads: int = 1) -> tuple[npt.NDArray[Any], F64, I64]:  # noqa: ARG002
        return reference.lloyd_step(groups, codewords)

    def pack(self, layout: CodeLayout, codes: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        return layout.pack(codes)

    def unpack(self, layout: CodeLayout, packed: npt.NDArray[np.uint8], rows: int) -> npt.NDArray[Any]:
        return layout.unpack(packed, rows)

    def scan_labels(self, codewords: F32) -> npt.NDArray[np.uint8]:
        return reference.scan_labels(codewords)

    def relabel(self, labels: npt.NDArray[np.uint8], codes: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        return reference.relabel(labels, codes)

    def scan(
        self,
        chunks: Sequence[CodeChunk],
        layout: CodeLayout,
        tables: F32,
        k: int,
        threads: int = 1,  # noqa: ARG002
    ) -> tuple[F32, I64]:
        return reference.scan(chunks, layout, tables, k)

    def searcher(
        self, layout: CodeLayout, codewords: F32, labels: npt.NDArray[np.uint8] | None, *, dot: bool
    ) -> Searcher:
        return ReferenceSearcher(layout, codewords, labels, dot)

    def exact_scan(
        self,
        kind: OriginalKind,
        metric: str,
        chunks: Sequence[OriginalChunk],
        queries: F64,
        k: int,
        threads: int = 1,  # noqa: ARG002
    ) -> tuple[F32, I64]:
        return reference.exact_scan(kind, metric, chunks, queries, k)


def available() -> tuple[str, ...]:
    """Names of the kernels that can run here, best first."""
    native = native_module()
    return (*native.available(), "numpy") if native else ("numpy",)


@cache
def get(name: str) -> Kernels:
    """The kernels of that name.

    Raises:
        KernelError: no kernels of that name can run here.
    """
    if name not in available():
        raise KernelError(f"no kernel {name!r} on this machine: choose one of {', '.join(available())}")
    if name == "numpy":
        return NumpyKernels()
    native = native_module()
    assert native is not None
    return CompiledKernels(native, name)


@cache
def active() -> Kernels:
    """The kernels that pqstore uses in this process, chosen at the first call.

    Raises:
        KernelError: ``PQSTORE_KERNEL`` names kernels that are unknown or cannot run here.

    Warns:
        MissingKernelsWarning: there are none but NumPy's, and nobody asked for those.
    """
    named = os.environ.get("PQSTORE_KERNEL")
    kernels = get(named or available()[0])
    if native_module() is None and not named:
        _say_that_none_are_compiled()
    info("kernels: %s, of %s", kernels.name, ", ".join(available()))
    return kernels


def _say_that_none_are_compiled() -> None:
    text = (
        "pqstore was installed without its compiled module, so NumPy does the work, several times slower: install it "
        "again where there is a C++ compiler (PQSTORE_REQUIRE_NATIVE=1 pip install --force-reinstall --no-deps pqstore "
        "says what is wrong); PQSTORE_KERNEL=numpy in the environment silences this"
    )
    warning(text)
    warn_caller(text, MissingKernelsWarning)
