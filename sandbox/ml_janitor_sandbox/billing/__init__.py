"""
What the sandbox's account is charged, and AWS Cost Explorer over it, of which moto has canned answers.

`charges` is the bill of one account, `meters` charges it for what is used, and `cost_explorer` reads it.
"""
