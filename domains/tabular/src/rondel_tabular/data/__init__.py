"""From files and frames to tensors: readers, kinds of columns, schema, target, split."""
