"""Commands that need each other: run, watched, logged, and passed over when they are complete."""
