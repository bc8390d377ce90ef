"""Model artifacts that are stored more than once: rule, reading, act and undo."""
