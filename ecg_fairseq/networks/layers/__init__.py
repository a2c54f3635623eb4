"""Blocks and losses that several systems are built of."""
