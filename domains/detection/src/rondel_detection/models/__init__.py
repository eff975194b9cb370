"""What is trained: one protocol, several detectors."""
