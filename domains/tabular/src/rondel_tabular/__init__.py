"""rondel-tabular: training loops for any table with a target column."""
