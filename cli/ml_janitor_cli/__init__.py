"""The terminal edge: what `janitor` does with flags, the environment, the clock and the screen."""
