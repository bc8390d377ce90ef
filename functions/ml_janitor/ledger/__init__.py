"""The janitor's memory between runs: one DynamoDB table."""
