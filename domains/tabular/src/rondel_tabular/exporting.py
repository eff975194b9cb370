"""A trained model as ONNX: from the cells of a row to what `predict` says, in one program.

The inputs are the columns of the table, (N, 1) each:

- a number, or 1 and 0 of true and false, under the column's name: float32, or double where float32
  would round away what the model sees. NaN is a missing cell; infinite numbers are not allowed.
- each number that a date or a free text is made of, as ``COLUMN.PART``, likewise. Parts of a date
  are those of `cells.moment_parts`, in UTC; parts of a text are those of `words.hashed`.
- a category: a string, without white space at its ends, whole numbers without a decimal point, as
  `cells.texts` makes it. An empty one is missing; one that the model does not know is 'unknown'.

`rondel_tabular.program.inputs_of` makes them from a table. The outputs, for one target: ``probability`` (N, C) and ``label``
(N,), the place of the likeliest class; or the columns that `predict` returns for a number, (N,)
double each. Of several targets ``NAME_probability`` and ``NAME_label``. The metadata of the file
hold, as JSON, ``labels`` (by target), ``targets``, ``schema`` and ``inputs``, a description.

Shapes: N rows, I numbers that are read, K categories, C classes.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rondel.errors import UsageError
from rondel.onnx_export import reason_of, require_packages, silence
from rondel_tabular.data.column import Column
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.target import Target
from rondel_tabular.parity import check
from rondel_tabular.program import (
    Program,
    categories_read,
    numbers_read,
    output_names,
    plain,
)

if TYPE_CHECKING:
    from rondel_tabular.bundle import TabularBundle

OPSET, ML_OPSET = 18, 3
FRONT, BACK = "columns/", "network/"
"""What the names of inner values begin with, so that no column has the same."""
NOTES = (
    "Inputs are (N, 1). Numbers: NaN is missing, never infinite; true is 1, false 0. COLUMN.days of "
    "a date are days since 1970 in UTC, month 1-12, day 1-31, weekday 0 is Monday, hour 0-23. "
    "Categories: text without white space at its ends, whole numbers as '3'; empty is missing. "
    "label is the place of the likeliest class in labels."
)


def export(bundle: TabularBundle, out: Path) -> Path:
    """Write a bundle as an ONNX program, once it was found to say what the bundle does.

    Args:
        bundle: Of networks alone.
        out: The file.

    Raises:
        UsageError: The packages are missing, the model cannot be exported, or the file cannot be
            written; the reason is given.
        RondelError: The program computes something else; it is removed.
    """
    refuse_trees(bundle)
    require_packages("rondel-tabular")
    schema, targets = bundle.schema, bundle.targets
    refuse_clashes(schema, targets)
    program = Program(schema, targets, plain(bundle.model)).eval()
    try:
        with silence():
            content = written(program, schema, bundle.facts)
    except Exception as error:
        # an exporter that meets what it does not know can raise anything
        raise UsageError(
            f"the network {type(bundle.model).__name__} cannot be exported as ONNX by torch "
            f"{torch.__version__}: {reason_of(error)}",
            where=str(out),
            hint="The format pt2 may do.",
        ) from error
    staging = out.with_name(f".{out.name}.part")
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        staging.write_bytes(content)
        check(bundle, staging)
        return staging.replace(out)
    except OSError as error:
        raise UsageError(
            f"cannot be written: {error.strerror}", where=str(out), hint="Give another --out."
        ) from error
    finally:
        staging.unlink(missing_ok=True)


def refuse_trees(bundle: TabularBundle) -> None:
    """Refuse a blend, whose networks are only a part of it.

    Raises:
        UsageError: There are trees.
    """
    if "trees" in bundle.facts:
        raise UsageError(
            f"a blend cannot be exported: its trees ({', '.join(bundle.facts['trees'])}) are "
            "computed by their own libraries",
            where="export",
            hint="Train with loop=folds, which keeps to the networks.",
        )


def refuse_clashes(schema: Schema, targets: Sequence[Target]) -> None:
    """Refuse two inputs or outputs of one name.

    Raises:
        UsageError: Names the first.
    """
    names = [each.name for each in numbers_read(schema)]
    names += [column.name for column in categories_read(schema)]
    names += outputs_of(targets)
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise UsageError(
            f"two inputs or outputs of the program would be called {twice[0]!r}",
            where="export",
            hint="Rename the column and train again.",
        )


def outputs_of(targets: Sequence[Target]) -> list[str]:
    """Return the names of all outputs."""
    alone = len(targets) == 1
    return [name for target in targets for name in output_names(target, alone=alone)]


# -- the program in ONNX ---------------------------------------------------------------------------


def written(program: Program, schema: Schema, facts: Mapping[str, Any]) -> bytes:
    """Return the content of the file: columns become tensors, which the network takes."""
    import onnx

    targets = program.targets
    front, joints = front_of(schema)
    back = network_of(program, schema, outputs_of(targets))
    front.ir_version = back.ir_version
    model = onnx.compose.merge_models(front, back, io_map=joints)
    del model.opset_import[:]  # both graphs' own, one after the other
    model.opset_import.extend(front.opset_import)
    described = {
        "labels": {target.name: target.labels for target in targets if target.labels},
        "targets": facts["targets"],
        "schema": facts["schema"],
        "inputs": NOTES,
    }
    onnx.helper.set_model_props(model, {key: json.dumps(described[key]) for key in described})
    model.doc_string = NOTES
    onnx.checker.check_model(model)
    content: bytes = model.SerializeToString()
    return content


def front_of(schema: Schema) -> tuple[Any, list[tuple[str, str]]]:
    """Return the graph that makes two tensors of columns, and where they go in the network's."""
    from onnx import TensorProto, helper

    kinds = {"float32": TensorProto.FLOAT, "float64": TensorProto.DOUBLE}
    inputs, nodes, outputs = [], [], []
    groups: dict[str, list[str]] = {"numbers": [], "levels": []}
    for place, each in enumerate(numbers_read(schema)):
        inputs.append(helper.make_tensor_value_info(each.name, kinds[each.type], ["N", 1]))
        made = f"{FRONT}number/{place}"
        nodes.append(helper.make_node("Cast", [each.name], [made], to=TensorProto.DOUBLE))
        groups["numbers"].append(made)
    for place, column in enumerate(categories_read(schema)):
        inputs.append(helper.make_tensor_value_info(column.name, TensorProto.STRING, ["N", 1]))
        made = f"{FRONT}level/{place}"
        nodes.append(level_node(column, made))
        groups["levels"].append(made)
    for name, kind in (("numbers", TensorProto.DOUBLE), ("levels", TensorProto.INT64)):
        if groups[name]:
            nodes.append(helper.make_node("Concat", groups[name], [FRONT + name], axis=1))
            shape: list[str | int | None] = ["N", len(groups[name])]
            outputs.append(helper.make_tensor_value_info(FRONT + name, kind, shape))
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid("ai.onnx.ml", ML_OPSET)]
    graph = helper.make_graph(nodes, "columns", inputs, outputs)
    joints = [(FRONT + name, BACK + name) for name in groups if groups[name]]
    return helper.make_model(graph, opset_imports=opsets), joints


def level_node(column: Column, made: str) -> Any:
    """Return what makes a level of a text: 0 is 'unknown'."""
    from onnx import helper

    # the list must not be empty, and no cell is this text: it has white space at its ends
    known = {" ": 0, **{level: place for place, level in enumerate(column.levels, 1)}}
    return helper.make_node(
        "LabelEncoder",
        [column.name],
        [made],
        domain="ai.onnx.ml",
        keys_strings=list(known),
        values_int64s=list(known.values()),
        default_int64=0,
    )


def network_of(program: Program, schema: Schema, outputs: Sequence[str]) -> Any:
    """Return the ONNX model of a program, whose inner names begin with `BACK`."""
    import onnx

    rows = {0: torch.export.Dim.DYNAMIC}
    sizes = (len(numbers_read(schema)), len(categories_read(schema)))
    kinds = {"numbers": torch.float64, "levels": torch.int64}
    example = {
        name: torch.zeros(3, size, dtype=kinds[name])
        for name, size in zip(kinds, sizes, strict=True)
        if size
    }
    with torch.no_grad():
        made = torch.onnx.export(
            program,
            kwargs=example,
            opset_version=OPSET,
            input_names=list(example),
            output_names=[f"output/{place}" for place in range(len(outputs))],
            dynamo=True,
            dynamic_shapes=dict.fromkeys(example, rows),
            verbose=False,
        )
    assert made is not None
    model = onnx.compose.add_prefix(made.model_proto, BACK)
    names = {f"{BACK}output/{place}": name for place, name in enumerate(outputs)}
    for value in model.graph.output:
        value.name = names[value.name]
    for node in model.graph.node:
        node.output[:] = [names.get(name, name) for name in node.output]
        node.input[:] = [names.get(name, name) for name in node.input]
    return model
