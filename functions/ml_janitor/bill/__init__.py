"""The bill: its charges, the causes of its movements, and their owners."""
