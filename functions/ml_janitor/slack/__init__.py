"""Slack and mail: sends messages, keeps them up to date, and receives presses."""
