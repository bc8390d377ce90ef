"""Log groups, images and outputs that nobody needs: rule, reading, act and undo."""
