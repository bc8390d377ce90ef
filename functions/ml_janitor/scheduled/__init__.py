"""The scheduled work of Lambda functions: sweeps, the bill, and events."""
