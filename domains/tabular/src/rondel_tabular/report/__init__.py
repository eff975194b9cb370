"""The pages of a run's report on a table: what the model says, and what the table holds."""
