"""The words of the domain and what is said with them: no AWS, no I/O."""
