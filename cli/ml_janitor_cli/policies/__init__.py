"""`janitor policies`: tags and limits that AWS, CDK and Terraform enforce where resources are made."""
