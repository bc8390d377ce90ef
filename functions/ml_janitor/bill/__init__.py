"""What AWS charged, why it moved, and whose it is."""
