"""What an operator sets and what a function is sent, checked at the edge."""
