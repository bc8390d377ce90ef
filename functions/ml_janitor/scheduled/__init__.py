"""What Lambda does on a schedule: a sweep, and the bill."""
