"""What is remembered between runs, in one DynamoDB table."""
