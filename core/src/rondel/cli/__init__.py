"""The command ``rondel``."""
