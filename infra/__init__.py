"""The bundle that ships to Lambda, and the CDK stack around the plan of the deployment."""
