"""Slack: the bot and the webhook, what is sent through them, and how long they are waited for."""
