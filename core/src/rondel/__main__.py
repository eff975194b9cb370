"""``python -m rondel``, and ``torchrun -m rondel``: the command line."""

import sys

from rondel.cli.main import main

if __name__ == "__main__":
    sys.exit(main())
