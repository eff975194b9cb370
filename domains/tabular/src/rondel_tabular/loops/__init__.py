"""Loop structures for tables, one file each."""
