"""The networks: what is trained, and the frozen proxy that measures it."""
