"""What this package tells rondel; imported for every ``rondel --help``, so it imports no torch."""

from rondel.domain import Domain
from rondel.plugins import hookimpl


@hookimpl
def rondel_domain() -> Domain:
    """Announce the domain."""
    return Domain(
        name="text",
        summary="Train classifiers, taggers and language models on text.",
        config="rondel_text.config:TextConfig",
        build="rondel_text.build:build",
        bundle="rondel_text.bundle:TextBundle",
        inspect="rondel_text.inspection:inspect",
        demo=("dataset=code", "epochs=2", "run.threads=1"),
    )
