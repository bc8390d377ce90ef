"""Renderers of a run's report for its readers: words, messages, pages, pictures and JSON. Pure."""
