"""From messages to what a model reads, and from what it writes to thought and answer."""
