"""What is trained: small models of our own, and those of transformers."""
