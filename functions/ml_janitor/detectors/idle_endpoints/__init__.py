"""Endpoints without traffic: rule, reading, act and undo."""
