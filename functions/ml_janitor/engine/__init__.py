"""The shape of a detector, and the run that reads and judges with it."""
