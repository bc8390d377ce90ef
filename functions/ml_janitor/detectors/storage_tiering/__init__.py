"""Bytes that are old and in STANDARD: rule, reading, act and undo."""
