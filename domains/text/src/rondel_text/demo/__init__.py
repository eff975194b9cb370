"""Sets that come along: real text of the machine it runs on, no download."""
