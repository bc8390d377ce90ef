"""The detector forgotten-leftovers: its rule, log groups and image repositories."""
