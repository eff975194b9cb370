"""Data that does not fit in memory: surveyed, encoded into a cache, and read from there."""
