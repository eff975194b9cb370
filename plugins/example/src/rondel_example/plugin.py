"""What this package tells rondel; imported for every ``rondel --help``, so it imports no torch."""

from rondel.domain import Domain
from rondel.plugins import hookimpl


@hookimpl
def rondel_domain() -> Domain:
    """Announce the domain."""
    return Domain(
        name="example",
        summary="Fit a linear model to the numeric columns of a CSV file.",
        config="rondel_example.config:ExampleConfig",
        build="rondel_example.build:build",
        bundle="rondel_example.bundle:ExampleBundle",
        demo=("epochs=20",),
    )
