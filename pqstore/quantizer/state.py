"""The state of a quantizer as plain data, and what must hold of it before it is believed."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypedDict

import numpy as np
import numpy.typing as npt

from pqstore.errors import InvalidQuantizerError
from pqstore.quantizer.distance_table import Metric, check_metric

__all__ = ["Settings", "array_shapes", "check_arrays", "check_settings"]


class Settings(TypedDict):
    """Plain values that any format can hold."""

    kind: str
    M: int
    Ks: int
    D: int | None
    """None: not trained."""
    metric: Metric


def check_settings(settings: Any) -> Settings:
    """`settings` with every field present, of its type and in its range.

    Raises:
        InvalidQuantizerError: if not so.
    """
    if not isinstance(settings, Mapping) or set(settings) != Settings.__required_keys__:
        raise InvalidQuantizerError(
            f"settings of a quantizer must be {sorted(Settings.__required_keys__)}, got {_shown(settings)}"
        )
    M, Ks, D = settings["M"], settings["Ks"], settings["D"]
    if settings["kind"] not in ("PQ", "OPQ"):
        raise InvalidQuantizerError(f"kind of quantizer must be 'PQ' or 'OPQ', got {_shown(settings['kind'])}")
    whole = all(isinstance(n, int) and not isinstance(n, bool) for n in (M, Ks, 0 if D is None else D))
    if not whole or M < 1 or not 1 <= Ks <= 1 << 32 or (D is not None and (D < 1 or D % M)):
        raise InvalidQuantizerError(f"sizes of a quantizer contradict each other: M={M!r}, Ks={Ks!r}, D={D!r}")
    try:
        metric = check_metric(settings["metric"])
    except ValueError as error:
        raise InvalidQuantizerError(str(error)) from error
    return Settings(kind=settings["kind"], M=M, Ks=Ks, D=D, metric=metric)


def array_shapes(settings: Settings) -> dict[str, tuple[int, ...]]:
    """Names and shapes of the arrays that belong to these settings; all are float32."""
    D = settings["D"]
    if D is None:
        return {}
    shapes: dict[str, tuple[int, ...]] = {"codewords": (settings["M"], settings["Ks"], D // settings["M"])}
    if settings["kind"] == "OPQ":
        shapes["R"] = (D, D)
    return shapes


def check_arrays(settings: Settings, arrays: Any) -> dict[str, npt.NDArray[np.float32]]:
    """Copies of the arrays, every one present, with the shape that the settings say, float32.

    Raises:
        InvalidQuantizerError: if not so.
    """
    shapes = array_shapes(settings)
    if not isinstance(arrays, Mapping) or set(arrays) != set(shapes):
        raise InvalidQuantizerError(f"arrays of this quantizer must be {sorted(shapes)}, got {_shown(arrays)}")
    copies = {}
    for name, shape in shapes.items():
        array = np.asarray(arrays[name])
        if array.shape != shape or array.dtype.kind != "f" or array.dtype.itemsize != 4:
            raise InvalidQuantizerError(f"{name} must be float32 {shape}, got {array.dtype} {array.shape}")
        copies[name] = np.array(array, dtype=np.float32, order="C")
    return copies


def _shown(value: Any) -> str:
    """What came, short enough for a line."""
    text = repr(sorted(value, key=str) if isinstance(value, Mapping) else value)
    return text if len(text) <= 80 else text[:77] + "..."
