"""Tables that do not fit in memory: encoded once into a cache, and read from there."""
