"""`make bench`: every measurement, one after the other."""

from bench import audit, endpoints, functions, pictures, receiver

for each in (endpoints, audit, functions, receiver, pictures):
    each.main()
    print()
