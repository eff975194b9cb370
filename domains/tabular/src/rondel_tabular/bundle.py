"""A trained network with its schema: predict, evaluate and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from rondel import Bundle, DataManifest
from rondel.errors import DataError, UsageError
from rondel.spreadsheet import guarded
from rondel_tabular import trees
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset
from rondel_tabular.data.division import divide, labelled
from rondel_tabular.data.frames import as_frame, is_table
from rondel_tabular.data.part import Part, encode
from rondel_tabular.data.readers import read_table
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.source import IN_MEMORY, load_source
from rondel_tabular.data.target import Target, target_column
from rondel_tabular.gathering import gathered
from rondel_tabular.losses import say, scales_of
from rondel_tabular.metrics import measure
from rondel_tabular.mixture import NETWORKS, mixed
from rondel_tabular.models.catalogue import make_network

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "pd.DataFrame | Path | str | Sequence[Mapping[str, Any]]"


class TabularBundle(Bundle):
    """Predicts the target column of a table.

    ``facts`` hold the schema and the target as plain values; both are there as attributes too.
    """

    domain = "tabular"

    @property
    def schema(self) -> Schema:
        """How columns become inputs."""
        return Schema.from_facts(self.facts["schema"])

    @property
    def targets(self) -> tuple[Target, ...]:
        """What is predicted."""
        return targets_in(self.facts)

    @property
    def model(self) -> nn.Module:
        """The network."""
        return self.modules["model"]

    @classmethod
    def of(
        cls, model: nn.Module, dataset: Dataset, config: TabularConfig, data: DataManifest | None
    ) -> TabularBundle:
        """Make the bundle of a network as it is now."""
        return cls(
            config=config.model_dump(mode="json"),
            facts={
                "schema": dataset.schema.to_facts(),
                "targets": [target.to_facts() for target in dataset.targets],
                "scales": scales_of(dataset, config),
            },
            modules={"model": model},
            data=data,
        )

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build the network for the saved schema, with fresh weights."""
        schema = Schema.from_facts(facts["schema"])
        outputs = sum(target.outputs for target in targets_in(facts))
        return {"model": make_network(schema, outputs, TabularConfig.model_validate(config))}

    def predict(self, inputs: Rows) -> pd.DataFrame:
        """Predict the target of each row.

        Args:
            inputs: A frame of pandas or polars, a table of Arrow, the path of a file, or a list of dicts. Columns may stand in any order
                and be more than needed; those that had empty cells in training may be absent.

        Returns:
            One row per input row: the target's name with a class or a value; for a classification
            also ``probability_<class>`` for each class, with several targets
            ``<target>_probability_<class>``.

        Raises:
            DataError: A column that the model needs is absent or unusable.
        """
        import pandas as pd

        frame, where = as_table(inputs)
        index = inputs.index if isinstance(inputs, pd.DataFrame) else None
        said = self.say(*self.schema.encode(frame, where=where))
        columns: dict[str, Any] = {}
        for target, outputs in zip(self.targets, said, strict=True):
            columns |= columns_of(target, outputs.double(), alone=len(said) == 1)
        return pd.DataFrame(columns, index=index)

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Predict for tables in files, as CSV: to ``out``, or returned as text.

        Several files are told apart by a column ``file`` in front. Text that a spreadsheet would
        take for a formula gets an apostrophe in front.
        """
        import pandas as pd

        predicted = [self.predict(path) for path in inputs]
        if len(inputs) > 1:
            for path, frame in zip(inputs, predicted, strict=True):
                frame.insert(0, "file", path)
        text = harmless(pd.concat(predicted)).to_csv(index=False, lineterminator="\n")
        if out is None:
            return text
        out.parent.mkdir(parents=True, exist_ok=True)
        out.write_text(text, encoding="utf-8", newline="")
        return f"{sum(map(len, predicted))} predictions written to {out}"

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the metrics on a table with the target, or on the validation rows of training.

        Rows count by the column of weights if there is one. Loss and calibration error with the
        temperature are called calibrated; on the validation rows they are a little too good, as it
        was fitted there.

        Raises:
            DataError: The table lacks the target or a column, or holds an unknown class.
            UsageError: The training table was in memory and is gone.
        """
        config = TabularConfig.model_validate(self.config)
        if data is None and config.streaming:
            part = self._streamed_rows(config)
            said = self.say(part.numbers, part.levels)
            return measure(self.targets, said, part, self.facts.get("scales", ()))
        frame = self._validation_rows() if data is None else read_table(data)
        weight = config.weight
        where = "the validation rows" if data is None else str(data)
        names = [target_column(frame, target.name, where=where) for target in self.targets]
        rows, _ = labelled(frame, names, where=where)
        weight = weight if weight in rows else None
        part = encode(self.schema, self.targets, rows, where=where, weight=weight)
        said = self.say(part.numbers, part.levels)
        return measure(self.targets, said, part, self.facts.get("scales", ()))

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the model as a program: ``onnx``, or ``pt2``, which torch runs without this package.

        An ONNX program takes the columns of the table, and says what `predict` says: see
        `rondel_tabular.exporting`. A ``pt2`` program is the network alone, and takes scaled numbers
        and levels; ``schema.json`` inside says how columns become them.

        Raises:
            UsageError: There is no such format, packages for it are missing, or the model cannot
                be exported.
            RondelError: The program computes something else.
        """
        if format not in ("onnx", "pt2"):
            return super().export(out, format)
        from rondel.directory import write_atomically
        from rondel.torch_export import to_pt2
        from rondel_tabular import exporting
        from rondel_tabular.program import plain

        exporting.refuse_trees(self)
        if format == "onnx":
            return exporting.export(self, out)
        rows = torch.export.Dim("rows", min=1)
        example = (
            torch.zeros(2, self.schema.numbers),
            torch.zeros(2, len(self.schema.levels), dtype=torch.int32),
        )
        program = torch.export.export(
            plain(self.model), example, dynamic_shapes=({0: rows}, {0: rows})
        )
        content, _ = to_pt2(program, self.facts, name="schema.json")
        write_atomically(out, content)
        return out

    def _validation_rows(self) -> pd.DataFrame:
        """Return the rows that validated in training, found again by their seed."""
        if self.data is None or self.data.name == IN_MEMORY:
            raise UsageError(
                "the model was trained on a table in memory",
                where="evaluate",
                hint="Give the file to evaluate on.",
            )
        config = TabularConfig.model_validate(self.config)
        if config.copies > 1:
            raise UsageError(
                "every row of the training table was learnt by some of the networks",
                where="evaluate",
                hint="Give a file that is new to them; the run's report has what was said of "
                "each row by those that never saw it.",
            )
        source, manifest = load_source(config)
        refuse_changes(self.data, manifest, source.name)
        return divide(source, config).valid

    def _streamed_rows(self, config: TabularConfig) -> Part:
        """Return the rows that validated in training, from the cache or encoded again."""
        dataset, manifest = gathered(config)
        if self.data is not None:
            refuse_changes(self.data, manifest, str(config.data))
        return dataset.valid

    def say(self, numbers: Tensor, levels: Tensor) -> list[Tensor]:  # (N, O) each
        """Return what is said of encoded rows, for each target: logits have no temperature yet."""
        said = say(self.targets, self.model, numbers, levels)
        return said if "trees" not in self.facts else [self._with_trees(said[0], numbers, levels)]

    def _with_trees(self, said: Tensor, numbers: Tensor, levels: Tensor) -> Tensor:
        """Return what networks and trees say together of the one target, (N, O)."""
        (target,), table = self.targets, trees.table_of(numbers, levels)
        told = {NETWORKS: said}
        for library, folds in self.facts["trees"].items():
            answers = {str(n): trees.ask(library, s, table, target) for n, s in enumerate(folds)}
            told[library] = mixed(target, answers, dict.fromkeys(answers, 1 / len(answers)))
        return mixed(target, told, self.facts["weights"]).float()


def refuse_changes(trained: DataManifest, found: DataManifest, where: str) -> None:
    """Refuse data that is no longer what a model was trained on.

    Raises:
        DataError: Names what changed.
    """
    changes = trained.difference(found)
    if changes:
        raise DataError(
            f"the data is no longer what the model was trained on: {'; '.join(changes[:3])}",
            where=where,
            hint="Give the file to evaluate on.",
        )


def targets_in(facts: Mapping[str, Any]) -> tuple[Target, ...]:
    """Return the targets that the facts of a bundle describe."""
    return tuple(Target.from_facts(target) for target in facts["targets"])


def columns_of(target: Target, outputs: Tensor, *, alone: bool) -> dict[str, Any]:
    """Return the columns of a prediction, by name: what a head says of N rows.

    Args:
        target: What is predicted.
        outputs: (N, O) float64.
        alone: Whether it is the only target; of several, probabilities bear its name.
    """
    name = target.name
    if target.head == "classes":
        shares = target.probabilities(outputs)
        winners = [target.labels[best] for best in shares.argmax(1).tolist()]
        start = "probability" if alone else f"{name}_probability"
        names = [f"{start}_{label}" for label in target.labels]
        return {name: winners, **dict(zip(names, shares.T.numpy(), strict=True))}
    found = {name: target.in_unit(target.point(outputs)).numpy()}
    if target.head == "gaussian":
        found[f"{name}_deviation"] = (outputs[:, 1].exp() * target.scale).numpy()
    if target.head == "quantiles":
        ordered = target.in_unit(outputs.sort(1).values)  # quantiles of a row never cross
        for place, quantile in enumerate(target.quantiles):
            found[f"{name}_{quantile:g}"] = ordered[:, place].numpy()
    return found


def as_table(inputs: Rows) -> tuple[pd.DataFrame, str]:
    """Return inputs of any kind as a checked table, with a name for messages.

    Raises:
        DataError: The file cannot be read, or there are no rows.
        UsageError: They are nothing of which a table can be made.
    """
    import pandas as pd

    if isinstance(inputs, Path | str):
        return read_table(Path(inputs)), str(inputs)
    where = IN_MEMORY
    if is_table(inputs):
        return as_frame(inputs, where=where), where
    rows = list(inputs) if isinstance(inputs, Sequence) else [inputs]
    if not all(isinstance(row, Mapping) for row in rows):
        raise UsageError(
            f"cannot predict for {type(inputs).__name__}",
            where="predict",
            hint="Give a data frame, the path of a file, or a list of dicts.",
        )
    return as_frame(pd.DataFrame(rows), where=where), where


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text is taken for a formula by a spreadsheet."""
    safe = frame.rename(columns=guarded)
    for name in safe.columns[[not is_number(kind) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(guarded)
    return safe


def is_number(kind: Any) -> bool:
    """Tell whether a column type holds numbers or booleans."""
    return getattr(kind, "kind", "O") in "biuf"
