"""State as plain JSON and tensors: what a checkpoint holds, and how two processes exchange it.

A tree of state becomes JSON in which everything that JSON lacks is a tagged node from a closed
list, and a flat mapping of tensors. No node can name a class, so reading one never runs code.
"""

from __future__ import annotations

import json
import math
import re
from collections import Counter, OrderedDict, defaultdict, deque
from collections.abc import Callable, Hashable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load
from torch import Tensor

from rondel.errors import CheckpointError

Json: TypeAlias = "bool | int | float | str | list[Json] | dict[str, Json] | None"

MAX_DEPTH = 64
MAX_NODES = 1_000_000
TAG = "$"
"""The key that marks a node which is not plain JSON; a plain dict that uses it is tagged itself."""

_LARGEST_PLAIN_INT = 2**53  # above it other JSON readers lose digits
_NUMPY_DTYPE = re.compile(r"[<>|=][biufcSUmM]\d{1,6}(\[\d{0,9}[a-zA-Z]{1,2}\])?")  # no objects
# fmt: off
_TENSOR_DTYPES: dict[torch.dtype, str] = {
    torch.float64: "F64", torch.float32: "F32", torch.float16: "F16", torch.bfloat16: "BF16",
    torch.float8_e4m3fn: "F8_E4M3", torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ", torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
    torch.int64: "I64", torch.int32: "I32", torch.int16: "I16", torch.int8: "I8",
    torch.uint64: "U64", torch.uint32: "U32", torch.uint16: "U16", torch.uint8: "U8",
    torch.bool: "BOOL", torch.complex64: "C64",
}
# fmt: on
_DTYPES = {str(d): d for d in vars(torch).values() if isinstance(d, torch.dtype)}


def flatten(tree: object) -> tuple[Json, dict[str, Tensor]]:
    """Split a tree of state into JSON and tensors; `unflatten` is the inverse.

    Holds `None`, bool, int, float, str, bytes, list, tuple, `torch.Size`, dict with any plain
    keys, set, frozenset, deque, Counter, dtype, tensors, numpy arrays and scalars. Parameters come
    back as tensors, `OrderedDict` and `defaultdict` as dict. The tensors are not copied. Two places
    that hold the same view of the same memory share one entry, and share one tensor on return.

    Raises:
        CheckpointError: Something else is in the tree; the message names its path.
    """
    writer = _Writer()
    return writer.encode(tree, (), 0), writer.tensors


def unflatten(node: Json, tensors: Mapping[str, Tensor]) -> Any:
    """Rebuild the tree that `flatten` split.

    Raises:
        CheckpointError: The JSON is not of our making, too deep, or has too many nodes.
    """
    try:
        return _Reader(tensors).decode(node, 0)
    except (KeyError, TypeError, ValueError, AttributeError, RuntimeError) as error:
        raise CheckpointError(
            f"the tree of state is damaged ({type(error).__name__}: {error})",
            hint="Use another checkpoint.",
        ) from error


def to_bytes(tree: object) -> bytes:
    """Write a tree as one self-contained blob, for another process; the inverse is `from_bytes`."""
    node, tensors = flatten(tree)
    text = dump_json(node).encode()
    return b"".join([len(text).to_bytes(8, "little"), text, *tensor_chunks(tensors)])


def from_bytes(data: bytes) -> Any:
    """Read a blob that `to_bytes` wrote.

    Raises:
        CheckpointError: The blob is truncated or not of our making.
    """
    end = 8 + int.from_bytes(data[:8], "little")
    if not 8 < end < len(data):
        raise CheckpointError("the blob of state is truncated", hint="Send it again.")
    node = parse_json(data[8:end])
    try:
        tensors = load(data[end:])
    except SafetensorError as error:
        raise CheckpointError(f"the blob of state is damaged ({error})") from error
    return unflatten(node, tensors)


def dump_json(node: Json) -> str:
    """Write JSON on one line, always the same way; non-finite numbers are refused."""
    return json.dumps(node, allow_nan=False, separators=(",", ":"))


def parse_json(text: str | bytes) -> Json:
    """Parse strict JSON: no NaN, no infinity, no duplicate keys, no endless nesting.

    Raises:
        CheckpointError: The text is not strict JSON.
    """
    try:
        node: Json = json.loads(
            text,
            object_pairs_hook=_unique_keys,
            parse_constant=_refuse_constant,
            parse_float=_finite,
        )
    except (ValueError, RecursionError) as error:  # both decoding errors are ValueErrors
        raise CheckpointError(f"not strict JSON ({error})") from error
    return node


def tensor_chunks(tensors: Mapping[str, Tensor]) -> Iterator[bytes | memoryview]:
    """Yield the bytes of a safetensors file: its header, then every tensor, without a copy.

    Tensors on another device are fetched one at a time, so the host never holds them all.
    """
    # large items first, so that every tensor is aligned to its own item size
    names = sorted(tensors, key=lambda name: (-tensors[name].element_size(), name))
    header: dict[str, Json] = {}
    offset = 0
    for name in names:
        tensor = tensors[name]
        end = offset + tensor.numel() * tensor.element_size()
        header[name] = {
            "dtype": _TENSOR_DTYPES[tensor.dtype],
            "shape": list(tensor.shape),
            "data_offsets": [offset, end],
        }
        offset = end
    text = dump_json(header).encode()
    text += b" " * (-len(text) % 8)
    yield len(text).to_bytes(8, "little") + text
    for name in names:
        if tensors[name].numel():
            yield _bytes_of(tensors[name])


def _bytes_of(tensor: Tensor) -> memoryview:
    plain = tensor.detach().cpu().resolve_conj().resolve_neg().contiguous()
    # not reshape(-1): a single value may keep a stride that viewing as bytes refuses
    return plain.as_strided((plain.numel(),), (1,)).view(torch.uint8).numpy().data


def _unique_keys(pairs: list[tuple[str, Json]]) -> dict[str, Json]:
    node = dict(pairs)
    if len(node) != len(pairs):
        raise ValueError("a key appears twice")
    return node


def _refuse_constant(name: str) -> float:
    raise ValueError(f"{name} is not JSON")


def _finite(text: str) -> float:
    number = float(text)
    if not math.isfinite(number):
        raise ValueError(f"{text} is too large")
    return number


def _number(value: int | float) -> Json:
    if isinstance(value, int):
        small = -_LARGEST_PLAIN_INT <= value <= _LARGEST_PLAIN_INT
        return value if small else {TAG: "int", "hex": hex(value)}
    return value if math.isfinite(value) else {TAG: "float", "value": repr(value)}


@dataclass
class _Writer:
    """One walk over a tree; collects the tensors by their path."""

    tensors: dict[str, Tensor] = field(default_factory=dict)
    seen: dict[Hashable, str] = field(default_factory=dict)
    nodes: int = 0

    def encode(self, value: object, path: tuple[object, ...], depth: int) -> Json:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise _refusal(path, f"nested deeper than {MAX_DEPTH} levels")
        if self.nodes > MAX_NODES:
            raise _refusal(path, f"more than {MAX_NODES} values; keep long lists as tensors")
        kind = type(value)
        if value is None or kind is bool or kind is str:
            return value  # type: ignore[return-value]  # one of the plain types just tested
        if kind is int or kind is float:
            return _number(value)  # type: ignore[arg-type]  # just tested
        if isinstance(value, Tensor):
            return self.tensor(value, path)
        if isinstance(value, (np.ndarray, np.generic, bytes)):
            return self.raw(value, path)
        if kind in (dict, OrderedDict, defaultdict, Counter):
            return self.mapping(value, path, depth)  # type: ignore[arg-type]  # just tested
        return self.sequence(value, path, depth)

    def items(self, values: Iterable[object], path: tuple[object, ...], depth: int) -> list[Json]:
        return [self.encode(v, (*path, i), depth + 1) for i, v in enumerate(values)]

    def mapping(self, value: dict[Any, object], path: tuple[object, ...], depth: int) -> Json:
        counts = isinstance(value, Counter)
        if not counts and TAG not in value and all(type(key) is str for key in value):
            return {key: self.encode(v, (*path, key), depth + 1) for key, v in value.items()}
        if any(isinstance(key, Tensor) for key in value):
            raise _refusal(path, "cannot store a dict whose keys are tensors")
        pairs: list[Json] = [
            [self.encode(key, path, depth + 1), self.encode(v, (*path, key), depth + 1)]
            for key, v in value.items()
        ]
        return {TAG: "counter" if counts else "dict", "items": pairs}

    def sequence(self, value: object, path: tuple[object, ...], depth: int) -> Json:
        kind = type(value)
        if isinstance(value, list) and kind is list:
            return self.items(value, path, depth)
        if isinstance(value, torch.dtype):
            return {TAG: "dtype", "name": str(value)}
        if isinstance(value, (set, frozenset)) and kind in (set, frozenset):
            # sorted, because the order of a set of strings differs between processes
            ordered = sorted(value, key=lambda item: (type(item).__name__, repr(item)))
            return {TAG: kind.__name__, "items": self.items(ordered, path, depth)}
        if isinstance(value, deque) and kind is deque:
            return {TAG: "deque", "items": self.items(value, path, depth), "maxlen": value.maxlen}
        if isinstance(value, tuple) and kind in (tuple, torch.Size):
            tag = "tuple" if kind is tuple else "size"
            return {TAG: tag, "items": self.items(value, path, depth)}
        raise _refusal(path, f"cannot store a {kind.__name__}")

    def raw(
        self, value: np.ndarray[Any, Any] | np.generic | bytes, path: tuple[object, ...]
    ) -> Json:
        """Keep bytes and numpy values as their raw bytes, in a tensor of uint8."""
        if isinstance(value, bytes):
            return {TAG: "bytes", "tensor": self.add(_bytes_tensor(value), path)}
        if not _NUMPY_DTYPE.fullmatch(value.dtype.str):
            raise _refusal(path, f"cannot store a numpy value of dtype {value.dtype}")
        data = _bytes_tensor(value.tobytes())
        if isinstance(value, np.generic):
            return {TAG: "numpy_scalar", "dtype": value.dtype.str, "hex": value.tobytes().hex()}
        shape: list[Json] = list(value.shape)
        name = self.add(data, path)
        return {TAG: "numpy", "dtype": value.dtype.str, "shape": shape, "tensor": name}

    def tensor(self, value: Tensor, path: tuple[object, ...]) -> Json:
        if type(value) not in (Tensor, torch.nn.Parameter):
            raise _refusal(path, f"cannot store a {type(value).__name__}")
        if value.layout is not torch.strided or value.is_quantized or value.is_meta:
            raise _refusal(path, "cannot store a sparse, quantized or meta tensor")
        if value.dtype not in _TENSOR_DTYPES:
            raise _refusal(path, f"cannot store a tensor of dtype {value.dtype}")
        value = value.detach()
        order = _dense_order(value)
        memory = (value.device, value.data_ptr(), value.shape, value.stride())
        key = (*memory, value.dtype, value.is_conj(), value.is_neg())
        name = self.seen.get(key) if value.numel() else None
        if name is None:
            name = self.add(value if order is None else value.permute(order), path)
            self.seen[key] = name
        node: dict[str, Json] = {TAG: "tensor", "tensor": name}
        return node if order is None else {**node, "order": list(order)}

    def add(self, value: Tensor, path: tuple[object, ...]) -> str:
        plain = _dotted(path) or "root"
        # a lone surrogate is legal in a Python string, but not in the file's header
        plain = plain.encode("utf-8", "backslashreplace").decode()
        name, copies = plain, 1
        while name in self.tensors or name == "__metadata__":
            copies += 1
            name = f"{plain}#{copies}"
        self.tensors[name] = value
        return name


def _dense_order(tensor: Tensor) -> tuple[int, ...] | None:
    """The order of dimensions in memory, if the tensor is a permuted but gapless block.

    Keeping it (channels_last weights, mostly) keeps the kernels, and so the bits, of later steps.
    """
    if tensor.is_contiguous():
        return None
    strides = tensor.stride()
    order = sorted(range(tensor.dim()), key=lambda d: (-strides[d], -tensor.shape[d], d))
    return tuple(order) if tensor.permute(order).is_contiguous() else None


def _bytes_tensor(data: bytes) -> Tensor:
    # a bytearray, because torch warns about memory that cannot be written
    if not data:
        return torch.empty(0, dtype=torch.uint8)
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _dotted(path: tuple[object, ...]) -> str:
    return ".".join(str(part) for part in path)


def _refusal(path: tuple[object, ...], what: str) -> CheckpointError:
    return CheckpointError(
        what,
        where=_dotted(path) or "state",
        hint="Keep only tensors, numbers, text, lists and dicts in a state_dict.",
    )


@dataclass
class _Reader:
    """One walk over JSON; every node is checked, none can name anything outside the tables."""

    tensors: Mapping[str, Tensor]
    nodes: int = 0
    rebuilt: dict[Hashable, Tensor] = field(default_factory=dict)

    def decode(self, node: Json, depth: int) -> Any:
        self.nodes += 1
        if depth > MAX_DEPTH:
            raise CheckpointError(f"the tree of state is nested deeper than {MAX_DEPTH} levels")
        if self.nodes > MAX_NODES:
            raise CheckpointError(f"the tree of state holds more than {MAX_NODES} values")
        if isinstance(node, list):
            return [self.decode(item, depth + 1) for item in node]
        if not isinstance(node, dict):
            return node
        if TAG not in node:
            return {key: self.decode(value, depth + 1) for key, value in node.items()}
        return self.tagged(node, depth)

    def tagged(self, node: dict[str, Any], depth: int) -> Any:
        tag = node[TAG]
        if tag in _CONTAINERS:
            return _CONTAINERS[tag](self.decode(list(node["items"]), depth), node)
        if tag in ("dict", "counter"):
            return self.pairs(node["items"], depth, {} if tag == "dict" else Counter())
        if tag == "tensor":
            return self.tensor(node)
        if tag in ("bytes", "numpy"):
            data = self.tensors[node["tensor"]].numpy().tobytes()
            return data if tag == "bytes" else _array(node, data)
        return _SCALARS[tag](node)

    def pairs(self, items: list[list[Json]], depth: int, into: dict[Any, Any]) -> dict[Any, Any]:
        for key_node, value_node in items:
            key = self.decode(key_node, depth + 1)
            if key in into:
                raise ValueError(f"key {key!r} appears twice")
            into[key] = self.decode(value_node, depth + 1)
        return into

    def tensor(self, node: dict[str, Any]) -> Tensor:
        tensor = self.tensors[node["tensor"]]
        if "order" not in node:
            return tensor
        order = tuple(node["order"])
        inverse = sorted(range(len(order)), key=order.__getitem__)
        # cached, so that a shared channels_last tensor stays one tensor
        return self.rebuilt.setdefault((node["tensor"], order), tensor.permute(inverse))


def _numpy_dtype(node: dict[str, Any]) -> np.dtype[Any]:
    if not _NUMPY_DTYPE.fullmatch(node["dtype"]):
        raise ValueError(f"dtype {node['dtype']!r} is not allowed")
    dtype: np.dtype[Any] = np.dtype(node["dtype"])
    return dtype


def _array(node: dict[str, Any], data: bytes) -> np.ndarray[Any, Any]:
    dtype, shape = _numpy_dtype(node), tuple(node["shape"])
    if math.prod(shape) * dtype.itemsize != len(data):
        raise ValueError(f"an array of shape {shape} does not have {len(data)} bytes")
    return np.ndarray(shape, dtype, buffer=bytearray(data))


def _scalar(node: dict[str, Any]) -> np.generic:
    scalar: np.generic = np.frombuffer(bytes.fromhex(node["hex"]), _numpy_dtype(node))[0]
    return scalar


_CONTAINERS: dict[str, Callable[[list[Any], dict[str, Any]], object]] = {
    "tuple": lambda items, _: tuple(items),
    "size": lambda items, _: torch.Size(items),
    "set": lambda items, _: set(items),
    "frozenset": lambda items, _: frozenset(items),
    "deque": lambda items, node: deque(items, node["maxlen"]),
}
_SCALARS: dict[str, Callable[[dict[str, Any]], object]] = {
    "int": lambda node: int(node["hex"], 16),
    "float": lambda node: {"nan": math.nan, "inf": math.inf, "-inf": -math.inf}[node["value"]],
    "dtype": lambda node: _DTYPES[node["name"]],
    "numpy_scalar": _scalar,
}
