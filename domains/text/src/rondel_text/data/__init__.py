"""From files to batches: rows, formats, tasks, tokens."""
