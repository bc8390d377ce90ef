"""Resources without the required tags: rule, reading, act and undo."""
