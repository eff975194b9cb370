"""Loop structures for text, one file each."""
