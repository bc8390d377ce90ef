"""A local AWS for tests, demos and benchmarks: moto behind HTTP, with its wrong answers put right."""
