"""The CloudFormation templates of a deployment, made from the registry of detectors and janitor.toml."""
