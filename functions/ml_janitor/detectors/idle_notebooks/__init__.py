"""Notebook instances that nobody works in: rule, reading, act and undo."""
