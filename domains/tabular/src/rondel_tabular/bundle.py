"""A trained network with its schema: predict, evaluate and export."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import torch
from torch import Tensor, nn

from rondel import Bundle, DataManifest
from rondel.errors import DataError, UsageError
from rondel.metric import merged
from rondel.spreadsheet import guarded
from rondel_tabular.config import TabularConfig
from rondel_tabular.data.dataset import Dataset, divide, encode, labelled
from rondel_tabular.data.readers import checked, read_table
from rondel_tabular.data.schema import Schema
from rondel_tabular.data.source import IN_MEMORY, load_source
from rondel_tabular.data.target import Target, target_column
from rondel_tabular.metrics import metrics_of
from rondel_tabular.models.mlp import make_network

if TYPE_CHECKING:
    import pandas as pd

Rows: TypeAlias = "pd.DataFrame | Path | str | Sequence[Mapping[str, Any]]"
CHUNK_ROWS = 65_536


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
    def target(self) -> Target:
        """What is predicted."""
        return Target.from_facts(self.facts["target"])

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
            facts={"schema": dataset.schema.to_facts(), "target": dataset.target.to_facts()},
            modules={"model": model},
            data=data,
        )

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build the network for the saved schema, with fresh weights."""
        schema, target = Schema.from_facts(facts["schema"]), Target.from_facts(facts["target"])
        return {"model": make_network(schema, target, TabularConfig.model_validate(config))}

    def predict(self, inputs: Rows) -> pd.DataFrame:
        """Predict the target of each row.

        Args:
            inputs: A frame, the path of a file, or a list of dicts. Columns may stand in any order
                and be more than needed; those that had empty cells in training may be absent.

        Returns:
            One row per input row: the target's name with a class or a value; for a classification
            also ``probability_<class>`` for each class.

        Raises:
            DataError: A column that the model needs is absent or unusable.
        """
        import pandas as pd

        frame, where = as_table(inputs)
        index = inputs.index if isinstance(inputs, pd.DataFrame) else None
        outputs = self._outputs(*self.schema.encode(frame, where=where))
        target = self.target
        if target.task == "regression":
            values = outputs.squeeze(1).double() * target.scale + target.mean
            return pd.DataFrame({target.name: values.numpy()}, index=index)
        probabilities = outputs.double().softmax(dim=1)
        names = [f"probability_{label}" for label in target.labels]
        predicted = pd.DataFrame(probabilities.numpy(), columns=names, index=index)
        winners = [target.labels[best] for best in probabilities.argmax(dim=1).tolist()]
        predicted.insert(0, target.name, winners)
        return predicted

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

        Raises:
            DataError: The table lacks the target or a column, or holds an unknown class.
            UsageError: The training table was in memory and is gone.
        """
        schema, target = self.schema, self.target
        frame = self._validation_rows() if data is None else read_table(data)
        where = "the validation rows" if data is None else str(data)
        target_column(frame, target.name, where=where)
        rows, _ = labelled(frame, target.name, where=where)
        numbers, levels, targets = encode(schema, target, rows, where=where).tensors
        metrics = metrics_of(target).update(self._outputs(numbers, levels), targets)
        return merged(metrics.by_name, [])

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the network as a ``pt2`` program, which torch runs without this package.

        The program takes standardised numbers and levels; ``schema.json`` inside says how columns
        become them.
        """
        if format != "pt2":
            return super().export(out, format)
        import json

        rows = torch.export.Dim("rows", min=1)
        example = (
            torch.zeros(2, self.schema.numbers),
            torch.zeros(2, len(self.schema.levels)).long(),
        )
        program = torch.export.export(
            self.model.cpu(), example, dynamic_shapes=({0: rows}, {0: rows})
        )
        staging = out.with_name(f".{out.name}.part.pt2")
        torch.export.save(program, staging, extra_files={"schema.json": json.dumps(self.facts)})
        return staging.replace(out)

    def _validation_rows(self) -> pd.DataFrame:
        """Return the rows that validated in training, found again by their seed."""
        if self.data is None or self.data.name == IN_MEMORY:
            raise UsageError(
                "the model was trained on a table in memory",
                where="evaluate",
                hint="Give the file to evaluate on.",
            )
        config = TabularConfig.model_validate(self.config)
        source, manifest = load_source(config)
        changes = self.data.difference(manifest)
        if changes:
            raise DataError(
                f"the data is no longer what the model was trained on: {'; '.join(changes[:3])}",
                where=source.name,
                hint="Give the file to evaluate on.",
            )
        return divide(source, config).valid

    @torch.no_grad()
    def _outputs(self, numbers: Tensor, levels: Tensor) -> Tensor:
        """Run the network over rows, in chunks and on its own device; the result is on the CPU."""
        device = next(self.model.parameters()).device
        self.model.eval()
        pieces = [
            self.model(some.to(device), others.to(device)).cpu()
            for some, others in zip(
                torch.split(numbers, CHUNK_ROWS), torch.split(levels, CHUNK_ROWS), strict=True
            )
        ]
        return torch.cat(pieces)


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
    if isinstance(inputs, pd.DataFrame):
        return checked(inputs, where=where), where
    rows = list(inputs) if isinstance(inputs, Sequence) else [inputs]
    if not all(isinstance(row, Mapping) for row in rows):
        raise UsageError(
            f"cannot predict for {type(inputs).__name__}",
            where="predict",
            hint="Give a DataFrame, the path of a file, or a list of dicts.",
        )
    return checked(pd.DataFrame(rows), where=where), where


def harmless(frame: pd.DataFrame) -> pd.DataFrame:
    """Return a table in which no text is taken for a formula by a spreadsheet."""
    safe = frame.rename(columns=guarded)
    for name in safe.columns[[not is_number(kind) for kind in safe.dtypes]]:
        safe[name] = safe[name].map(guarded)
    return safe


def is_number(kind: Any) -> bool:
    """Tell whether a column type holds numbers or booleans."""
    return getattr(kind, "kind", "O") in "biuf"
