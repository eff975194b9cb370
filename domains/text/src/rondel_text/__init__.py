"""Text for rondel: loops for classifiers, taggers, language models and embeddings."""
