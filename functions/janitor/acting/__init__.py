"""Acting on what is due, and taking it back; `order` says what comes after what."""
