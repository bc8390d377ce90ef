"""The scheduled work of Lambda functions: sweeps, and the bill."""
