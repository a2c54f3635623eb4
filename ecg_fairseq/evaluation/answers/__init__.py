"""Scores of written answers: exact match, closed sets, text metrics, and their floors."""
