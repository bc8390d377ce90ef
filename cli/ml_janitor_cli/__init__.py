"""The terminal edge of `janitor`: its flags, the environment, the clock and the screen."""
