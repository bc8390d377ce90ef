"""
The charges of the sandbox's account, and AWS Cost Explorer over them, for which moto has canned answers.

`charges` is the bill of one account, `meters` charges it for what is used, and `cost_explorer` reads it.
"""
