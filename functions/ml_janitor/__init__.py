"""ML Janitor: finds what a machine-learning platform on AWS wastes, and cleans it up undoably."""
