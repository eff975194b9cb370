"""The rondel domain 'gan': two players trained in turns, and metrics that say what they measure."""
