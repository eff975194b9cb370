"""Announces the domain 'tabular' to rondel; imports nothing heavy."""

from __future__ import annotations

from rondel.domain import Domain
from rondel.plugins import hookimpl


@hookimpl
def rondel_domain() -> Domain:
    """Describe the domain 'tabular'."""
    return Domain(
        name="tabular",
        summary="Classification and regression on any CSV or parquet with a target column.",
        config="rondel_tabular.config:TabularConfig",
        build="rondel_tabular.build:build",
        bundle="rondel_tabular.bundle:TabularBundle",
        inspect="rondel_tabular.inspection:inspect",
        demo=("epochs=20", "run.threads=1"),
    )
