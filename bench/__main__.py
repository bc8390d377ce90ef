"""`make bench`: every measurement, one after the other."""

from bench import audit, bills, endpoints, functions, pictures, receiver

for each in (endpoints, audit, functions, receiver, pictures, bills):
    each.main()
    print()
