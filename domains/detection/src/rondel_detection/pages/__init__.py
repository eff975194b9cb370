"""The page that shows a data set: its template, its charts and its pictures."""
