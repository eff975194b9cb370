"""The contract of every rondel loop: exact resume, exact gradients, light imports."""

from rondel.testing import LoopContract


class TestExample(LoopContract):
    """Every check of the contract, on the embedded data."""

    domain = "example"
    overrides = ("epochs=2",)
