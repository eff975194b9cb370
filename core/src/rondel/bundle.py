"""A trained model as a folder: weights, config, labels, preprocessing, versions.

The folder has the format of a checkpoint, so every byte is covered by a hash and loading runs no
code: the domain's own class rebuilds the model from plain values and fills in the weights. Its
``tensors.safetensors`` can be read by any tool, under the names of the parameters.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Self

from torch import nn

from rondel.checkpoint import read_checkpoint, write_checkpoint
from rondel.data_manifest import DataManifest
from rondel.errors import CheckpointError, UsageError
from rondel.fingerprint import rondel_version


class Bundle:
    """What predict, serve and export read. A domain subclasses it.

    Args:
        config: The config that the model was built from, plain values.
        facts: Everything else that predicting needs: labels, preprocessing, sizes; tensors,
            numbers, strings and containers of them.
        modules: The modules by name, with the weights to keep.
        data: What the model was trained on.
        metrics: How good it was, on what it was evaluated on.
    """

    domain: ClassVar[str] = ""

    def __init__(
        self,
        *,
        config: Mapping[str, Any],
        facts: Mapping[str, Any],
        modules: Mapping[str, nn.Module],
        data: DataManifest | None = None,
        metrics: Mapping[str, float] | None = None,
    ) -> None:
        self.config = dict(config)
        self.facts = dict(facts)
        self.modules = dict(modules)
        self.data = data
        self.metrics = dict(metrics or {})
        for module in self.modules.values():
            module.eval()

    # -- what a domain writes ------------------------------------------------------------------

    @classmethod
    def build(cls, config: Mapping[str, Any], facts: Mapping[str, Any]) -> dict[str, nn.Module]:
        """Build the modules by name, with any weights; `load` fills in the saved ones."""
        raise NotImplementedError

    def predict(self, inputs: Any) -> Any:
        """Predict for inputs of the domain: a frame, images, a number of samples ..."""
        raise NotImplementedError

    def predict_files(self, inputs: Sequence[str], out: Path | None) -> str:
        """Predict for what stands on the command line; return text for stdout."""
        raise NotImplementedError

    def evaluate(self, data: Path | None) -> dict[str, float]:
        """Return the metrics on a data set, or on the one it was trained with."""
        raise NotImplementedError

    def export(self, out: Path, format: str) -> Path:  # noqa: A002 - the command line's own word
        """Write the model for another runtime.

        Raises:
            UsageError: The domain has no such format.
        """
        raise UsageError(
            f"domain '{self.domain}' cannot export {format!r} to {out}",
            hint="The weights are in the bundle's tensors.safetensors.",
        )

    # -- saving and loading --------------------------------------------------------------------

    def save(self, path: str | Path) -> Path:
        """Write the bundle as a folder; an older one there is replaced once this one is whole."""
        path = Path(path)
        tree = {
            "config": self.config,
            "facts": self.facts,
            "metrics": self.metrics,
            "data": None if self.data is None else self.data.to_json(),
            "weights": {name: dict(m.state_dict()) for name, m in self.modules.items()},
        }
        meta = {"kind": "bundle", "domain": self.domain, "rondel": rondel_version()}
        staging = path.with_name(f".{path.name}.tmp-{os.getpid()}")
        shutil.rmtree(staging, ignore_errors=True)
        written = write_checkpoint(staging, 0, tree, meta=meta)
        try:
            if path.exists():
                path.replace(staging / "older")  # moved, not removed: a kill here loses neither
            written.replace(path)
        except OSError as error:
            raise CheckpointError(
                f"the bundle cannot be put in its place: {error.strerror}",
                where=str(path),
                hint=f"It is whole in {staging}. Make room, then continue the run with --resume.",
            ) from error
        shutil.rmtree(staging, ignore_errors=True)
        return path

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """Load a bundle of this domain.

        Raises:
            CheckpointError: A byte is damaged, or it is the bundle of another domain.
        """
        info, tree = read_checkpoint(Path(path))
        if info.meta.get("kind") != "bundle" or info.meta.get("domain") != cls.domain:
            raise CheckpointError(
                f"is a {info.meta.get('kind', 'checkpoint')} of domain "
                f"{info.meta.get('domain')!r}, not a bundle of '{cls.domain}'",
                where=str(path),
                hint="rondel.load(path) finds the right domain by itself.",
            )
        modules = cls.build(tree["config"], tree["facts"])
        for name, module in modules.items():
            module.load_state_dict(tree["weights"][name])
        data = None if tree["data"] is None else DataManifest.from_json(tree["data"])
        return cls(
            config=tree["config"],
            facts=tree["facts"],
            modules=modules,
            data=data,
            metrics=tree["metrics"],
        )
