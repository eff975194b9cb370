"""From label files to batches: tables, formats, checks, samples, augmentation."""
