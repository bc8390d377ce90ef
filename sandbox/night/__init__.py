"""
Three nights over the demo account, with every detector armed: `make night`.

`script` is what happens when, `deployment` the functions that it happens to, `bill` what the account wastes
before and after, and `telling` how it is told.
"""
