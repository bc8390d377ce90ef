"""All that asks AWS: clients, listings, metrics, logs, tags, prices."""
