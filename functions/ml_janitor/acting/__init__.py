"""Acting on findings that are due, and undoing it."""
