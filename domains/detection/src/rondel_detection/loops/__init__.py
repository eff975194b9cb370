"""One file per loop structure."""
