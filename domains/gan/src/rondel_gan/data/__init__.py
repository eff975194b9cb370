"""Real images: read, checked, scaled to [-1, 1], split."""
