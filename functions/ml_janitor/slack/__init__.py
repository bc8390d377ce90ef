"""Slack: sends messages through the bot or a webhook, keeps them up to date, and receives presses."""
