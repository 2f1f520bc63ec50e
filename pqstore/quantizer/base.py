"""What `PQ` and `OPQ` share: all but training and how a vector is made ready for its codewords."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from os import PathLike
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar, overload

import numpy as np
import numpy.typing as npt

from pqstore.arrays import F32
from pqstore.errors import DimensionError, InvalidQuantizerError, NotTrainedError, PQStoreError
from pqstore.kernels import active, resolve_threads
from pqstore.quantizer.codebook import Codebook
from pqstore.quantizer.codes import CodeType, as_codes
from pqstore.quantizer.distance_table import DistanceTable, Metric
from pqstore.quantizer.progress import say
from pqstore.quantizer.rotation import Rotation
from pqstore.quantizer.state import Settings, check_arrays, check_settings
from pqstore.quantizer.vectors import VectorsLike, as_queries, as_rows, as_vectors, block_rows, unit_rows, vector_blocks

if TYPE_CHECKING:
    from typing_extensions import Never, Self

__all__ = ["Quantizer"]

# Table entries computed at a time: bounds the temporaries of the NumPy kernels.
_BLOCK_ENTRIES = 1 << 22


T = TypeVar("T")


class Fact(Generic[T]):
    """What a quantizer's codebook says of itself, as a read-only attribute of the quantizer."""

    def __init__(self, name: str) -> None:
        self._name = name

    @overload
    def __get__(self, quantizer: None, owner: type) -> Fact[T]: ...
    @overload
    def __get__(self, quantizer: Quantizer, owner: type) -> T: ...
    def __get__(self, quantizer: Quantizer | None, owner: type) -> Fact[T] | T:
        return self if quantizer is None else getattr(quantizer._book, self._name)

    def __set__(self, quantizer: Quantizer, value: Never) -> None:
        raise AttributeError(f"{self._name} of a {quantizer.kind} cannot be set: make another one with it")


class Quantizer(ABC):
    """A product quantizer: `PQ`, or `OPQ`, which rotates first.

    M is the number of sub-spaces, Ks the number of codewords in each; a vector of D = M * Ds values becomes a code of M
    integers below Ks. Distances are squared Euclidean for "l2"; inner products for "dot"; for "cosine" vectors and
    queries are divided by their length on the way in, and distances are their inner products. Codewords are trained,
    and vectors encoded, by Euclidean distance under every metric.
    """

    kind: ClassVar[str]
    """The name of the class in states and files."""
    rotates: ClassVar[bool] = False
    """Whether vectors are rotated before they are encoded."""

    M = Fact[int]("M")
    """The number of sub-spaces."""
    Ks = Fact[int]("Ks")
    """The number of codewords of each sub-space."""
    metric = Fact[Metric]("metric")
    """"l2", "dot" or "cosine"."""
    code_dtype = Fact[CodeType]("code_dtype")
    """The type of a code: ``numpy.uint8`` for Ks <= 256, ``uint16`` for Ks <= 65,536, else ``uint32``."""
    Ds = Fact["int | None"]("Ds")
    """The dimension of a sub-vector, D / M; None until trained."""
    D = Fact["int | None"]("D")
    """The dimension of a vector; None until trained."""

    _book: Codebook
    _rotation: Rotation | None = None

    @abstractmethod
    def __init__(self, M: int, Ks: int = 256, metric: Metric = "l2", verbose: bool = True) -> None:
        self._book = Codebook(M, Ks, metric, verbose)
        say(verbose, f"M: {M}, Ks: {Ks}, metric: {metric}, code_dtype: {self.code_dtype.__name__}")

    @property
    def verbose(self) -> bool:
        """Whether `fit` prints its progress."""
        return self._book.verbose

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._book.verbose = bool(verbose)

    @property
    def codewords(self) -> F32 | None:
        """float32 (M, Ks, Ds): ``codewords[m][ks]`` is the ks-th codeword of sub-space m. None until trained.

        May be set, to any real array of that shape with finite values.
        """
        return self._book.codewords

    @codewords.setter
    def codewords(self, codewords: npt.ArrayLike | None) -> None:
        self._book.codewords = codewords

    @property
    def is_trained(self) -> bool:
        """Whether there is all that encoding needs."""
        return self.codewords is not None and (self._rotation is not None or not self.rotates)

    def turned(self, vectors: F32, what: str = "queries", first: int = 0) -> F32:
        """Checked vectors float32 (n, D) in the space of the codewords, of which distance tables are made: divided by
        their length under "cosine", rotated by an OPQ; the same array where there is nothing to do.

        Raises:
            InvalidVectorError: a zero vector under "cosine"; the message names it by `what` and its row after `first`.
        """
        ready = unit_rows(vectors, what, first) if self.metric == "cosine" else vectors
        return ready if self._rotation is None else self._rotation.turn(ready)

    # -- vectors and codes --------------------------------------------------------------------------------------------

    def encode(self, vecs: VectorsLike, *, threads: int | None = None) -> npt.NDArray[Any]:
        """The nearest codewords of each vector, sub-space by sub-space.

        A vector gets the same code alone and in any batch, with any number of threads. Of codewords at the same
        distance the first is taken. A mapped array is read block by block and never copied whole.

        Args:
            vecs: real numbers (n, D).
            threads: how many threads to use; None for all cores.

        Returns:
            Codes of type `code_dtype`, shape (n, M).

        Raises:
            NotTrainedError: `fit` was not called.
            DimensionError: the shape is not (n, D).
            InvalidVectorError: NaN, infinity, values beyond float32, no real numbers; a zero vector under "cosine".
        """
        _, D = _trained(self)
        rows = as_rows(vecs, D)
        workers = resolve_threads(threads)
        codes = np.empty((len(rows), self.M), dtype=self.code_dtype)
        for first, block in vector_blocks(rows):
            codes[first : first + len(block)] = self.encode_block(block, workers, first)
        return codes

    def encode_block(self, block: F32, threads: int, first: int = 0) -> npt.NDArray[Any]:
        """`encode` of one block of checked vectors float32 (n, D), of which the caller's first has the number `first`.

        Codes are of any integer dtype that holds Ks - 1.

        Raises:
            InvalidVectorError: a zero vector under "cosine".
        """
        codewords, _ = _trained(self)
        return active().encode(self.turned(block, "vectors", first), codewords, threads=threads)

    def decode(self, codes: npt.ArrayLike) -> F32:
        """The vectors that codes stand for (under "cosine": of length about 1).

        Args:
            codes: integers (n, M).

        Returns:
            float32 (n, D).

        Raises:
            NotTrainedError: `fit` was not called.
            DimensionError: the shape is not (n, M).
            InvalidCodeError: a code is not in 0..Ks-1.
        """
        codewords, D = _trained(self)
        checked = as_codes(codes, self.M, self.Ks)
        vectors = np.empty((len(checked), D), dtype=np.float32)
        step = block_rows(D)
        for first in range(0, len(checked), step):
            block = _look_up(codewords, checked[first : first + step])
            vectors[first : first + step] = block if self._rotation is None else self._rotation.turn_back(block)
        return vectors

    def dtable(self, query: VectorsLike) -> DistanceTable:
        """The distance table of one query.

        Args:
            query: real numbers (D,).

        Returns:
            `DistanceTable` with ``dtable`` float32 (M, Ks): squared Euclidean distances, or inner products for "dot"
            and "cosine", between the query's sub-vectors and the codewords.

        Raises:
            NotTrainedError, DimensionError, InvalidVectorError: as `encode`.
        """
        _, D = _trained(self)
        queries, single = as_queries(query, D, "query")
        if not single:
            raise DimensionError(f"query must have shape ({D},), got {np.shape(query)}: dtables() takes several")
        return DistanceTable(self.dtables(queries)[0], self.metric)

    def dtables(self, queries: VectorsLike) -> F32:
        """The distance tables of several queries; each has the same bits as from `dtable`.

        Args:
            queries: real numbers (n, D).

        Returns:
            float32 (n, M, Ks).

        Raises:
            NotTrainedError, DimensionError, InvalidVectorError: as `encode`.
        """
        codewords, D = _trained(self)
        ready = self.turned(as_vectors(queries, D, "queries"))
        arithmetic = "l2" if self.metric == "l2" else "dot"
        step = max(1, _BLOCK_ENTRIES // (self.M * self.Ks))
        if len(ready) <= step:
            return active().dtables(ready, codewords, arithmetic)
        tables = np.empty((len(ready), self.M, self.Ks), dtype=np.float32)
        for first in range(0, len(ready), step):
            tables[first : first + step] = active().dtables(ready[first : first + step], codewords, arithmetic)
        return tables

    def quantization_error(self, vectors: VectorsLike, *, threads: int | None = None) -> float:
        """Mean over vectors of the squared Euclidean distance to ``decode(encode(vector))``.

        Under "cosine" the vectors are divided by their length first. 0.0 for no vectors.

        Raises:
            NotTrainedError, DimensionError, InvalidVectorError: as `encode`.
        """
        codewords, D = _trained(self)
        rows = as_rows(vectors, D)
        workers = resolve_threads(threads)
        total = 0.0
        for first, block in vector_blocks(rows):
            # Distances are the same before and after a rotation.
            ready = self.turned(block, "vectors", first)
            codes = active().encode(ready, codewords, threads=workers)
            difference = (ready.astype(np.float64) - _look_up(codewords, codes)).reshape(-1)
            total += float(difference @ difference)
        return total / max(1, len(rows))

    # -- state, files, pickles ----------------------------------------------------------------------------------------

    def state(self) -> tuple[Settings, dict[str, npt.NDArray[Any]]]:
        """Everything that makes this quantizer what it is, but `verbose`: settings, and arrays by name.

        Settings are plain: ``{"kind": "PQ", "M": 8, "Ks": 256, "D": 128, "metric": "l2"}``; D is None until trained.
        Arrays: ``codewords`` float32 (M, Ks, Ds) and, of an OPQ, ``R`` float32 (D, D); none until trained. The
        arrays are not copied.
        """
        settings: Settings = {"kind": self.kind, "M": self.M, "Ks": self.Ks, "D": None, "metric": self.metric}
        if not self.is_trained:
            return settings, {}
        codewords, settings["D"] = _trained(self)
        rotation = {} if self._rotation is None else {"R": self._rotation.R}
        return settings, {"codewords": codewords, **rotation}

    @classmethod
    def from_state(
        cls, settings: Mapping[str, Any], arrays: Mapping[str, npt.NDArray[Any]], verbose: bool = False
    ) -> Self:
        """The quantizer of a `state`; ``Quantizer.from_state`` takes every kind, ``PQ.from_state`` only a PQ's.

        The arrays are copied.

        Raises:
            InvalidQuantizerError: settings and arrays contradict each other, or are none of a quantizer.
        """
        checked = check_settings(settings)
        by_kind = {known.kind: known for known in (cls, *cls.__subclasses__()) if hasattr(known, "kind")}
        if checked["kind"] not in by_kind:
            raise InvalidQuantizerError(
                f"this is the state of a {checked['kind']}, and {cls.__name__} cannot take it: "
                f"use {checked['kind']}.load or {checked['kind']}.from_state"
            )
        quantizer = object.__new__(by_kind[checked["kind"]])
        quantizer.__setstate__({"settings": checked, "arrays": arrays, "verbose": verbose})
        return quantizer

    def with_metric(self, metric: Metric) -> Self:
        """The same quantizer under another metric. Its arrays are shared, not copied.

        Raises:
            ValueError: there is no such metric.
        """
        other = object.__new__(type(self))
        other.__dict__.update(self.__dict__)
        other._book = self._book.with_metric(metric)
        return other

    def save(self, path: str | PathLike[str]) -> None:
        """Write the quantizer to one file, which replaces an older one only when it is whole.

        The file is a plain ``.npz`` archive of settings and arrays, whatever its name; there is no pickle in it.

        Raises:
            OSError: the file cannot be written.
        """
        from pqstore.quantizer import file  # noqa: PLC0415 # zip archives and temporary files

        settings, arrays = self.state()
        file.write(path, settings, arrays)

    @classmethod
    def load(cls, path: str | PathLike[str], verbose: bool = False) -> Self:
        """The quantizer that `save` wrote; ``Quantizer.load`` takes every kind, ``PQ.load`` only a PQ.

        Nothing is executed, and every size is checked before it is believed.

        Raises:
            FileNotFoundError: there is no such file.
            FormatVersionError: a newer pqstore wrote it.
            InvalidQuantizerError: it is damaged, or no quantizer of this kind.
        """
        from pqstore.quantizer import file  # noqa: PLC0415 # zip archives and temporary files

        settings, arrays = file.read(path)
        try:
            return cls.from_state(settings, arrays, verbose)
        except InvalidQuantizerError as error:
            raise InvalidQuantizerError(f"{path}: {error}") from error

    def __getstate__(self) -> dict[str, Any]:
        settings, arrays = self.state()
        return {"settings": settings, "arrays": arrays, "verbose": self.verbose}

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, dict) or state.keys() != {"settings", "arrays", "verbose"}:
            raise InvalidQuantizerError(f"this pickle holds no {self.kind} of pqstore")
        settings = check_settings(state["settings"])
        if settings["kind"] != self.kind:
            raise InvalidQuantizerError(f"this pickle holds a {settings['kind']}, not a {self.kind}")
        arrays = check_arrays(settings, state["arrays"])
        try:
            self._book = Codebook(settings["M"], settings["Ks"], settings["metric"], bool(state["verbose"]))
            self._book.codewords = arrays.get("codewords")
            self._rotation = Rotation(arrays["R"]) if "R" in arrays else None
        except InvalidQuantizerError:
            raise
        except (PQStoreError, ValueError) as error:
            raise InvalidQuantizerError(f"damaged quantizer: {error}") from error

    def __eq__(self, other: object) -> bool:
        """Same kind, settings and arrays; `verbose` does not count."""
        if not isinstance(other, Quantizer):
            return NotImplemented
        mine, my_arrays = self.state()
        theirs, their_arrays = other.state()
        return (
            mine == theirs
            and my_arrays.keys() == their_arrays.keys()
            and all(np.array_equal(array, their_arrays[name]) for name, array in my_arrays.items())
        )

    __hash__ = None  # type: ignore[assignment]  # mutable, as every class with == and no hash

    def __repr__(self) -> str:
        code = f"{self.M} x {self.code_dtype.__name__}"
        trained = f"trained for D={self.D}" if self.is_trained else "untrained"
        return f"<{self.kind} M={self.M} Ks={self.Ks} metric={self.metric!r}: {trained}, a code is {code}>"


def _trained(quantizer: Quantizer) -> tuple[F32, int]:
    """The codewords, and D; NotTrainedError where there are none."""
    codewords, rotation = quantizer._book.codewords, quantizer._rotation
    if codewords is None or not quantizer.is_trained:
        raise NotTrainedError(f"this {quantizer.kind} is not trained: call fit(vectors) first")
    D = quantizer.M * codewords.shape[2]
    if rotation is not None and len(rotation) != D:
        raise InvalidQuantizerError(f"R has shape {rotation.R.shape}, but the codewords are for D = {D}")
    return codewords, D


def _look_up(codewords: F32, codes: npt.NDArray[Any]) -> F32:
    """The codewords of each code, end to end: (n, M) -> (n, D)."""
    return codewords[np.arange(len(codewords)), codes].reshape(len(codes), -1)
