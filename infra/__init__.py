"""What is deployed: CDK constructs made from the registry of detectors."""
