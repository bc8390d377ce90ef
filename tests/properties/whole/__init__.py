"""
Random nights of whole accounts: real detectors over the sandbox, killed at any call, with every fault.

What may be touched is told by the claims of `properties.worlds`, by what was pressed and kept since, and
by what the operator set; `judge` asks at every single call that changes something. Everything runs in one
thread, so that a seed lives through the same nights again.
"""
