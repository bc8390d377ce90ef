"""Studio apps that nobody works in: rule, reading, act and undo."""
