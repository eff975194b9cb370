"""What this package tells rondel; imported for every ``rondel --help``, so it imports no torch."""

from rondel.domain import Domain
from rondel.plugins import hookimpl


@hookimpl
def rondel_domain() -> Domain:
    """Announce the domain."""
    return Domain(
        name="gan",
        summary="Train a generator of images against a discriminator.",
        config="rondel_gan.config:GanConfig",
        build="rondel_gan.build:build",
        bundle="rondel_gan.bundle:GanBundle",
        commands="rondel_gan.commands:COMMANDS",
        inspect="rondel_gan.data.summary:inspect",
        demo=("epochs=40", "run.threads=1"),
    )
