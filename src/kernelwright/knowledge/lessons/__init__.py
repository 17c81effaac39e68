"""Lessons: what past searches have taught, each with what it came from and what it was found to be
worth in searches with it and without."""
