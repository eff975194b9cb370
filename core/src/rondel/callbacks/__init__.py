"""The callbacks that come with rondel."""

from rondel.callbacks.best import Best
from rondel.callbacks.early_stopping import EarlyStopping
from rondel.callbacks.monitor import LearningRateMonitor, Throughput
from rondel.callbacks.pictures import Pictures
from rondel.callbacks.progress import Progress
from rondel.callbacks.time_limit import TimeLimit

__all__ = [
    "Best",
    "EarlyStopping",
    "LearningRateMonitor",
    "Pictures",
    "Progress",
    "Throughput",
    "TimeLimit",
]
