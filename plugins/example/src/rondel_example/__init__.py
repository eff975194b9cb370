"""The rondel domain 'example': a linear model over the columns of a CSV file."""
