"""The deployment: CDK constructs made from the registry of detectors."""
