"""Pretrained language models taken as a base: opened whole, and what their tokens look at."""
