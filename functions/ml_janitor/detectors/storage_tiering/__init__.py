"""Old bytes in STANDARD: rule, reading, act and undo."""
