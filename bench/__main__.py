"""`make bench`: every measurement, one after the other."""

from bench import audit, endpoints, functions, receiver

endpoints.main()
print()
audit.main()
print()
functions.main()
print()
receiver.main()
