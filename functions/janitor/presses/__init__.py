"""Presses on Slack's buttons: verified at the door, judged behind it."""
