"""
Random nights of whole accounts: real detectors over the sandbox, killed at any call, with every fault.

What may be touched is told by the claims of `properties.worlds`; `judge` asks at every single call that
changes something, and at the end everything has to be back. What the engine owes to people, operators and
limits is proven in `properties.nightly`, whose detectors cost no call: here nobody holds anything back.
Everything runs in one thread, so that a seed lives through the same nights again.
"""
