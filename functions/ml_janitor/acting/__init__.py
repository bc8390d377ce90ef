"""Acts on the findings that are due, and undoes actions."""
