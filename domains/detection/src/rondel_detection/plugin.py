"""What this package tells rondel; imported for every ``rondel --help``, so it imports no torch."""

from rondel.domain import Domain
from rondel.plugins import hookimpl


@hookimpl
def rondel_domain() -> Domain:
    """Announce the domain."""
    return Domain(
        name="detection",
        summary="Train a detector of objects in pictures, from any label export.",
        config="rondel_detection.config:DetectionConfig",
        build="rondel_detection.build:build",
        bundle="rondel_detection.bundle:DetectionBundle",
        commands="rondel_detection.commands:COMMANDS",
        inspect="rondel_detection.inspection:inspect",
        pretrained={"digits": "rondel_detection:pretrained/digits"},
        demo=("dataset=shapes", "epochs=4", "run.threads=1"),
    )
