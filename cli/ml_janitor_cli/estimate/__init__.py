"""`janitor estimate`: costs before they arise. Commands, the arithmetic of each, and their sources."""
