"""Buckets whose bytes are old and in STANDARD, and the lifecycle rules that move or delete them."""
