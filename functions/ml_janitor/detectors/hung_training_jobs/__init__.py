"""Jobs that hang: rule, reading, act and undo."""
