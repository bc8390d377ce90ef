"""Buckets whose bytes are old and in STANDARD, and the lifecycle rules that would move them."""
