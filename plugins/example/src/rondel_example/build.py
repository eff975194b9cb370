"""Makes data, model and loop from a config."""

from pathlib import Path

import torch

from rondel import Baseline, Stream
from rondel.data_manifest import hash_files
from rondel_example.config import ExampleConfig
from rondel_example.loop import ExampleLoop
from rondel_example.model import StandardizedLinear
from rondel_example.reader import read_table

EMBEDDED = Path(__file__).with_name("cars.csv")


def build(config: ExampleConfig) -> ExampleLoop:
    """Read the data, hold every fifth row out, and make the loop."""
    source = config.data or EMBEDDED
    table = read_table(source, target=config.target)
    x, y = torch.tensor(table.rows), torch.tensor(table.answers)  # (N, F), (N,)
    held_out = torch.arange(len(y)) % 5 == 4
    train = Stream((x[~held_out], y[~held_out]), batch_size=config.batch_size)
    valid = Stream((x[held_out], y[held_out]), batch_size=256, name="valid", shuffle=False)
    model = StandardizedLinear(x[~held_out].mean(dim=0), x[~held_out].std(dim=0))
    loop = ExampleLoop(config, model, train, valid, list(table.features))
    guess = (y[held_out] - y[~held_out].mean()).abs().mean().item()
    loop.baseline = Baseline("mean of the training rows", {"mean_absolute_error": guess})
    loop.data = hash_files([source], source.parent, name=source.name, samples=len(y))
    return loop
