"""Trees of state survive the way through JSON and tensors, exactly."""

from __future__ import annotations

import json
import math
import random
from collections import Counter, OrderedDict, defaultdict, deque
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from rondel.errors import CheckpointError
from rondel.tree import MAX_DEPTH, MAX_NODES, flatten, from_bytes, parse_json, to_bytes, unflatten


def through_text(tree: Any) -> Any:
    node, tensors = flatten(tree)
    return unflatten(json.loads(json.dumps(node, allow_nan=False)), tensors)


def assert_same(found: Any, expected: Any, path: str = "") -> None:
    """Equal types, values and bits; NaN equals NaN."""
    if isinstance(expected, torch.Tensor):
        assert isinstance(found, torch.Tensor), path
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), path
        bits = [t.detach().resolve_conj().resolve_neg().reshape(1, -1) for t in (found, expected)]
        plain = [t.clone(memory_format=torch.contiguous_format) for t in bits]
        assert torch.equal(*(t.view(torch.uint8) for t in plain)), path
    elif isinstance(expected, np.ndarray):
        assert (found.dtype, found.shape) == (expected.dtype, expected.shape), path
        assert found.tobytes() == expected.tobytes(), path
    elif isinstance(expected, dict):
        assert isinstance(found, dict), path
        assert [*found] == [*expected], path
        for key, value in expected.items():
            assert_same(found[key], value, f"{path}.{key}")
    elif isinstance(expected, (list, tuple, deque)):
        assert type(found) is type(expected), path
        assert len(found) == len(expected), path
        for index, value in enumerate(expected):
            assert_same(found[index], value, f"{path}.{index}")
    elif isinstance(expected, (set, frozenset)):
        assert (type(found), found) == (type(expected), expected), path
    else:
        assert type(found) is type(expected), path
        assert repr(found) == repr(expected), path


def named(value: Any) -> str:
    """Name a case the same in every process; the order of strings in a set is not."""
    return f"a set of {len(value)}" if isinstance(value, set) else repr(value)


@pytest.mark.parametrize(
    "value",
    [
        None,
        True,
        0,
        -1,
        2**53 + 1,
        -(2**200),
        0.1,
        -0.0,
        5e-324,
        math.nan,
        math.inf,
        -math.inf,
        "",
        "тест 測試\ud800\n",
        b"",
        bytes(range(256)),
        [],
        (),
        (1, (2.0, [3])),
        {},
        {"a": 1, "": 2},
        {0: "int", "0": "str", None: 1, (1, 2): 3, 1.5: 4, b"k": 5},
        {"$": "tensor", "tensor": "a"},
        set(),
        {1, "a", None},
        frozenset({2, 3}),
        deque([1, 2], maxlen=3),
        Counter({30: 1, 80: 2}),
        torch.float32,
        torch.bfloat16,
        torch.Size([2, 3]),
        np.float32(0.1),
        np.int64(-3),
        np.bool_(True),
        np.str_("é"),
        np.datetime64("2020-01-01"),
        np.arange(6, dtype=">i4").reshape(2, 3),
        np.zeros((0, 3)),
        np.array(1.5),
        np.array([1 + 2j]),
        np.array(["a", "bc"]),
        np.array([np.nan, -0.0], "f2"),
    ],
    ids=named,
)
def test_a_value_comes_back_with_its_type_and_bits(value: Any) -> None:
    assert_same(through_text({"v": [value]}), {"v": [value]})
    assert_same(from_bytes(to_bytes(value)), value)


DTYPES = [
    *(torch.float64, torch.float32, torch.float16, torch.bfloat16),
    *(torch.int64, torch.int32, torch.int16, torch.int8),
    *(torch.uint64, torch.uint32, torch.uint16, torch.uint8, torch.bool, torch.complex64),
    *(torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz, torch.float8_e5m2fnuz),
]


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("shape", [(), (0,), (3,), (2, 0), (2, 3, 4)], ids=str)
def test_a_tensor_of_any_dtype_comes_back(dtype: torch.dtype, shape: tuple[int, ...]) -> None:
    tensor = (torch.randn(shape) * 3).abs().to(dtype)
    assert_same(from_bytes(to_bytes({"t": tensor}))["t"], tensor)


def test_views_come_back_by_value() -> None:
    base = torch.arange(24.0).reshape(4, 6)
    views = [base.t(), base[1:, ::2], base[0, 0].expand(3, 3), base.flip(0), base[2:3]]
    views += [torch.tensor([1 + 2j, 3j]).conj(), torch.tensor([1j]).conj().imag]
    views += [base.new_zeros(2, requires_grad=True), nn.Parameter(torch.ones(2))]
    assert_same(from_bytes(to_bytes(views)), views)


def test_a_channels_last_weight_keeps_its_layout() -> None:
    weight = torch.randn(4, 3, 5, 5).to(memory_format=torch.channels_last)
    first, second = from_bytes(to_bytes([weight, weight]))
    assert_same(first, weight)
    assert first.stride() == weight.stride()
    assert first is second


def test_shared_tensors_are_stored_once_and_stay_shared() -> None:
    weight = nn.Parameter(torch.randn(100, 100))
    node, tensors = flatten({"encoder": weight, "decoder": weight.data, "part": weight[:50]})
    assert len(tensors) == 2
    tree = unflatten(node, tensors)
    assert tree["encoder"] is tree["decoder"]
    assert_same(tree["part"], weight[:50])


def test_tensors_are_not_copied() -> None:
    weight = torch.randn(10)
    _, tensors = flatten([weight])
    assert tensors["0"].data_ptr() == weight.data_ptr()


def test_names_that_collide_stay_apart() -> None:
    tree = {"a.b": torch.ones(1), "a": {"b": torch.zeros(1)}, "__metadata__": torch.ones(2)}
    tree |= {"a.b#2": torch.ones(3), "": torch.ones(4), "\udcff": torch.ones(5)}
    assert_same(from_bytes(to_bytes(tree)), tree)


def test_ordered_and_default_dicts_come_back_as_dicts() -> None:
    tree = [OrderedDict(b=1, a=2), defaultdict(int, {3: 4})]
    assert_same(through_text(tree), [{"b": 1, "a": 2}, {3: 4}])


def test_the_same_tree_gives_the_same_bytes() -> None:
    tree = {"set": {"x", "y", "z"}, "t": torch.ones(3)}
    assert to_bytes(tree) == to_bytes({"set": {"z", "y", "x"}, "t": torch.ones(3)})


OPTIMIZERS = {
    name: getattr(torch.optim, name)
    for name in (
        *("ASGD", "Adadelta", "Adafactor", "Adagrad", "Adam", "AdamW", "Adamax", "LBFGS"),
        *("Muon", "NAdam", "RAdam", "RMSprop", "Rprop", "SGD", "SparseAdam"),
    )
}


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_every_torch_optimizer_goes_on_exactly(name: str) -> None:
    def train(tree: Any, steps: int) -> Any:
        torch.manual_seed(0)
        sparse = name == "SparseAdam"
        layer = nn.Embedding(7, 3, sparse=True) if sparse else nn.Linear(7, 3, bias=False)
        options: dict[str, Any] = {"momentum": 0.9} if name == "SGD" else {}
        optimizer = OPTIMIZERS[name](layer.parameters(), lr=0.01, **options)
        if tree is not None:
            layer.load_state_dict(tree["layer"])
            optimizer.load_state_dict(tree["optimizer"])
        inputs = torch.arange(7) if sparse else torch.eye(7)

        def closure() -> Any:
            optimizer.zero_grad()
            loss = (layer(inputs) - 1).square().sum()
            loss.backward()
            return loss

        for _ in range(steps):
            optimizer.step(closure)
        return {"layer": layer.state_dict(), "optimizer": optimizer.state_dict()}

    middle = train(None, 3)
    restored = from_bytes(to_bytes(middle))
    assert_same(restored["optimizer"], middle["optimizer"])
    assert_same(train(restored, 2), train(None, 5))


def test_lr_schedulers_and_the_scaler_are_held() -> None:
    optimizer = torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=0.1)
    lr = torch.optim.lr_scheduler
    schedulers = [
        lr.MultiStepLR(optimizer, [1, 3, 3]),
        lr.ReduceLROnPlateau(optimizer),
        lr.LambdaLR(optimizer, lambda step: 0.5**step),
        lr.OneCycleLR(optimizer, 1.0, 10),
        lr.SequentialLR(optimizer, [lr.ConstantLR(optimizer), lr.LinearLR(optimizer)], [2]),
    ]
    optimizer.step()
    states = [scheduler.state_dict() for scheduler in schedulers]
    states.append(torch.amp.GradScaler("cpu").state_dict())
    assert_same(from_bytes(to_bytes(states)), states)


def test_random_number_states_continue_the_same_numbers() -> None:
    generator = np.random.default_rng(3)
    states = from_bytes(
        to_bytes(
            {
                "python": random.getstate(),
                "numpy": np.random.get_state(),
                "generator": generator.bit_generator.state,
                "torch": torch.get_rng_state(),
            }
        )
    )
    expected = random.random(), np.random.rand(), generator.random(), torch.rand(()).item()
    random.setstate(states["python"])
    np.random.set_state(states["numpy"])
    generator.bit_generator.state = states["generator"]
    torch.set_rng_state(states["torch"])
    found = random.random(), np.random.rand(), generator.random(), torch.rand(()).item()
    assert found == expected


class Tuple(tuple[int, ...]):
    __slots__ = ()


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (print, "cannot store a builtin_function_or_method"),
        (lambda: 0, "cannot store a function"),
        (object(), "cannot store a object"),
        (Tuple(), "cannot store a Tuple"),
        (np.array([None]), "cannot store a numpy value of dtype object"),
        (torch.zeros(2, dtype=torch.complex128), "cannot store a tensor of dtype torch.complex128"),
        (torch.eye(2).to_sparse(), "cannot store a sparse, quantized or meta tensor"),
        (torch.empty(2, device="meta"), "cannot store a sparse, quantized or meta tensor"),
        ({torch.ones(1): 1}, "cannot store a dict whose keys are tensors"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_what_cannot_be_stored_is_named_with_its_path(value: Any, kind: str) -> None:
    with pytest.raises(CheckpointError) as caught:
        flatten({"updates": {"d": [1, {"hook": value}]}})
    assert str(caught.value).startswith(f"updates.d.1.hook: {kind}. Keep only tensors")


def test_a_tree_that_contains_itself_is_refused() -> None:
    loop: list[Any] = []
    loop.append(loop)
    with pytest.raises(CheckpointError, match="nested deeper than 64 levels"):
        flatten(loop)


def test_a_million_numbers_belong_into_a_tensor() -> None:
    with pytest.raises(CheckpointError, match="keep long lists as tensors"):
        flatten([0] * (MAX_NODES + 1))


def nested(depth: int) -> Any:
    return [] if depth == 0 else [nested(depth - 1)]


@pytest.mark.parametrize(
    "node",
    [
        nested(MAX_DEPTH + 1),
        [0] * MAX_NODES,
        {"$": "os.system", "items": ["true"]},
        {"$": ["tensor"]},
        {"$": "tensor", "tensor": "absent"},
        {"$": "tensor", "tensor": "t", "order": [0, 0]},
        {"$": "tensor"},
        {"$": "dict", "items": [[[], 1]]},
        {"$": "dict", "items": [[1, 1], [1, 2]]},
        {"$": "dict", "items": [[1]]},
        {"$": "numpy", "dtype": "O", "shape": [1], "tensor": "t"},
        {"$": "numpy", "dtype": "<f8", "shape": [10**9], "tensor": "t"},
        {"$": "numpy", "dtype": "<f4", "shape": [-1, -1], "tensor": "t"},
        {"$": "numpy_scalar", "dtype": "<f8", "hex": "00"},
        {"$": "numpy_scalar", "dtype": "|V8", "hex": "00" * 8},
        {"$": "float", "value": "1e5"},
        {"$": "int", "hex": "__import__"},
        {"$": "dtype", "name": "torch.nn"},
        {"$": "set", "items": [[1]]},
        {"$": "size", "items": ["a"]},
        {"$": "deque", "items": [], "maxlen": "x"},
        {"$": "tuple", "items": 3},
    ],
    ids=lambda node: repr(node)[:60],
)
def test_a_hostile_node_is_refused(node: Any) -> None:
    with pytest.raises(CheckpointError):
        unflatten(node, {"t": torch.zeros(4, dtype=torch.uint8)})


@pytest.mark.parametrize(
    "text",
    [
        '{"a":1,"a":2}',
        "[NaN]",
        "[-Infinity]",
        "[1e999]",
        "[" * 100_000,
        '{"a":' * 100_000,
        "1" * 10_000,
        b"\xff\xfe\x00",
        b"\x80\x04cos\nsystem\n",
        "",
        "[1] [2]",
    ],
    ids=lambda text: repr(text)[:20],
)
def test_json_that_is_not_strict_is_refused(text: str | bytes) -> None:
    with pytest.raises(CheckpointError, match="not strict JSON"):
        parse_json(text)


def test_a_truncated_or_broken_blob_is_refused() -> None:
    blob = to_bytes({"t": torch.arange(10), "x": [1, 2, 3]})
    for length in range(len(blob)):
        with pytest.raises(CheckpointError):
            from_bytes(blob[:length])
    with pytest.raises(CheckpointError, match="damaged"):
        from_bytes(blob + b"more")
