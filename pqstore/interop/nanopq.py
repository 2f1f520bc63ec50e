"""nanopq's objects and pickles -> `PQ` and `OPQ`. nanopq itself is not needed."""

from __future__ import annotations

import io
import pickle
from os import PathLike
from typing import Any

import numpy as np
import numpy.typing as npt

from pqstore.errors import InvalidQuantizerError
from pqstore.paths import as_path
from pqstore.quantizer import OPQ, PQ

__all__ = ["from_nanopq", "load_nanopq_pickle"]


def from_nanopq(quantizer: Any) -> PQ | OPQ:
    """A quantizer of nanopq, live, as one of ours: same settings, codewords and rotation (copied), trained or not.

    Raises:
        InvalidQuantizerError: it is none, or its parts contradict each other.
    """
    kind = type(quantizer).__name__
    if kind not in ("PQ", "OPQ") or type(quantizer).__module__.partition(".")[0] != "nanopq":
        raise InvalidQuantizerError(
            f"expected a PQ or OPQ of nanopq, got {type(quantizer).__module__}.{type(quantizer).__qualname__}"
        )
    return _from_attributes(kind, vars(quantizer))


def load_nanopq_pickle(path: str | PathLike[str]) -> PQ | OPQ:
    """The quantizer in a pickle file that ``pickle.dump(nanopq_quantizer, file)`` wrote.

    Nothing is executed: only nanopq's two classes, which become plain records, and what NumPy arrays are made of are
    admitted. nanopq need not be installed.

    Raises:
        InvalidQuantizerError: the pickle names anything else, is damaged, or holds no quantizer of nanopq.
        OSError: the file cannot be read.
    """
    data = as_path(path).read_bytes()
    try:
        loaded = _Restricted(io.BytesIO(data)).load()
    except InvalidQuantizerError as error:
        raise InvalidQuantizerError(f"{path}: {error}") from error
    except Exception as error:  # a damaged pickle can raise nearly anything
        raise InvalidQuantizerError(f"{path} is no sound pickle: {type(error).__name__}: {error}") from error
    if type(loaded) not in (_PQRecord, _OPQRecord):
        raise InvalidQuantizerError(f"{path} holds a {type(loaded).__name__}, no PQ or OPQ of nanopq")
    try:
        return _from_attributes(loaded.kind, vars(loaded))
    except InvalidQuantizerError as error:
        raise InvalidQuantizerError(f"{path}: {error}") from error


class _PQRecord:
    """The attributes of a pickled nanopq PQ."""

    kind = "PQ"


class _OPQRecord:
    """The attributes of a pickled nanopq OPQ."""

    kind = "OPQ"


# numpy.ndarray and the types of codes, as a pickle names them: arguments, nothing to call.
_NAME_ONLY = object()


class _DTypeRecord:
    """A pickled dtype of numbers. NumPy's own can be brought out of order by a crafted state."""

    def __init__(self, code: Any, align: Any = False, copy: Any = True) -> None:
        del align, copy
        if not isinstance(code, str) or code not in _NUMBER_CODES:
            raise InvalidQuantizerError(f"the pickle holds an array of {code!r}, not of numbers")
        self.dtype = np.dtype(code)

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) < 2 or state[1] not in ("<", ">", "|", "="):
            raise InvalidQuantizerError("the pickle describes a dtype in a way that NumPy does not")
        self.dtype = self.dtype.newbyteorder(state[1])


_NUMBER_CODES = [f"{kind}{size}" for kind in "iuf" for size in (1, 2, 4, 8)]
_NUMBER_CODES.remove("f1")


class _ArrayRecord:
    """A pickled array."""

    array: npt.NDArray[Any]

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise InvalidQuantizerError("the pickle describes an array in a way that NumPy does not")
        _, shape, dtype, fortran, data = state
        self.fill(data, dtype, shape, "F" if fortran else "C")

    def fill(self, data: Any, dtype: Any, shape: Any, order: Any) -> None:
        whole = isinstance(shape, tuple) and all(isinstance(size, int) and size >= 0 for size in shape)
        if not whole or not isinstance(dtype, _DTypeRecord) or order not in ("C", "F"):
            raise InvalidQuantizerError("the pickle describes an array in a way that NumPy does not")
        if not isinstance(data, (bytes, bytearray, pickle.PickleBuffer)):
            raise InvalidQuantizerError(f"the pickle holds an array of {type(data).__name__}, not of numbers")
        # A size that does not fit the shape is an error of reshape: nothing is allocated by what the shape says.
        self.array = np.frombuffer(memoryview(data), dtype=dtype.dtype).reshape(shape, order=order)


def _array(type_: Any, shape: Any, typecode: Any) -> _ArrayRecord:
    """The empty array that every pickled array begins with; its state comes later."""
    if type_ is not _NAME_ONLY or shape != (0,) or typecode not in (b"b", "b"):
        raise InvalidQuantizerError("the pickle makes an array in a way that NumPy does not")
    return _ArrayRecord()


def _frombuffer(buffer: Any, dtype: Any, shape: Any, order: Any) -> _ArrayRecord:
    """An array of a pickle of protocol 5."""
    record = _ArrayRecord()
    record.fill(buffer, dtype, shape, order)
    return record


def _scalar(dtype: Any, data: Any = None) -> Any:
    """A NumPy number, as a number of Python."""
    if not isinstance(dtype, _DTypeRecord) or not isinstance(data, bytes):
        raise InvalidQuantizerError("the pickle holds a scalar that is no number")
    return np.frombuffer(data, dtype=dtype.dtype, count=1)[0].item()


def _encode(text: Any, encoding: Any) -> bytes:
    """What protocols below 3 write for bytes."""
    if not isinstance(text, str) or encoding != "latin1":
        raise InvalidQuantizerError("the pickle holds bytes in a way that Python does not write them")
    return text.encode("latin1")


class _Restricted(pickle.Unpickler):
    """Admits what a nanopq quantizer is made of."""

    _ADMITTED = {  # noqa: RUF012 # constant
        ("nanopq.pq", "PQ"): _PQRecord,
        ("nanopq.opq", "OPQ"): _OPQRecord,
        ("numpy", "ndarray"): _NAME_ONLY,
        ("numpy", "dtype"): _DTypeRecord,
        **{("numpy", name): _NAME_ONLY for name in ("uint8", "uint16", "uint32")},
        **{(f"numpy.{core}.multiarray", "_reconstruct"): _array for core in ("core", "_core")},
        **{(f"numpy.{core}.multiarray", "scalar"): _scalar for core in ("core", "_core")},
        **{(f"numpy.{core}.numeric", "_frombuffer"): _frombuffer for core in ("core", "_core")},
        ("_codecs", "encode"): _encode,
        ("copy_reg", "_reconstructor"): None,
        ("copyreg", "_reconstructor"): None,
    }

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in self._ADMITTED and not (module == "__builtin__" and name == "object"):
            raise InvalidQuantizerError(f"the pickle names {module}.{name}, which no quantizer of nanopq needs")
        if module in ("copy_reg", "copyreg"):
            return _blank
        return self._ADMITTED.get((module, name), object)


def _blank(cls: Any, base: Any, state: Any) -> Any:
    """What protocols below 2 write for a new object."""
    if cls not in (_PQRecord, _OPQRecord) or base is not object or state is not None:
        raise InvalidQuantizerError("the pickle makes an object in a way that nanopq's do not")
    return cls()


def _plain(value: Any) -> Any:
    return getattr(value, "array", None) if isinstance(value, _ArrayRecord) else value


def _from_attributes(kind: str, attributes: dict[str, Any]) -> PQ | OPQ:
    inner = attributes if kind == "PQ" else getattr(attributes.get("pq"), "__dict__", None)
    if inner is None or not {"M", "Ks", "codewords"} <= inner.keys():
        raise InvalidQuantizerError(f"an {kind} of nanopq has M, Ks and codewords, and these are not all here")
    made_as = PQ if kind == "PQ" else OPQ
    try:
        made = made_as(inner["M"], inner["Ks"], inner.get("metric", "l2"), verbose=False)
        made.verbose = inner.get("verbose", False) is True
        # Copies: theirs may be changed later. float64 codewords, from older versions, are rounded.
        if inner["codewords"] is not None:
            made.codewords = np.array(_plain(inner["codewords"]))
        if isinstance(made, OPQ) and attributes.get("R") is not None:
            made.R = _plain(attributes["R"])
    except (ValueError, TypeError) as error:
        raise InvalidQuantizerError(f"the {kind} of nanopq contradicts itself: {error}") from error
    return made
