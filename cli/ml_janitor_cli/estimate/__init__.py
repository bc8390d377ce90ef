"""`janitor estimate`: what would it cost. Commands, the arithmetic of each, and what they read."""
