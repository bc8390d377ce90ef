"""An operator's settings and a function's events, checked at the edge."""
