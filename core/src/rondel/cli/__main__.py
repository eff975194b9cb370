"""``python -m rondel.cli``: the command without its script."""

import sys

from rondel.cli.main import main

sys.exit(main())
