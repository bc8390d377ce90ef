"""
IAM at the sandbox's door: roles with policies and trust, enforced on every request, and what they did.

Off until roles are installed with `enforce`. Policies of identities, sessions (in JSON) and trust count, and
those of KMS keys and DynamoDB tables; those of other resources, boundaries and service control policies are
not there. A request that it cannot judge (an operation, a condition key) is refused.
"""

from ml_janitor_sandbox.iam.control import IamControl
from ml_janitor_sandbox.iam.gate import Gate

__all__ = ["Gate", "IamControl"]
