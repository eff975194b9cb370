"""What users get wrong, and what they are told."""

from __future__ import annotations

import re
from pathlib import Path

import pandas as pd
import pytest

from rondel.errors import ConfigError, DataError
from tests_tabular import Write, config_of, make, mixed_frame  # placeholder
