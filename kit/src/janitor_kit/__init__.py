"""Training that survives interruption, training jobs with hard limits, and dynamic batching."""
