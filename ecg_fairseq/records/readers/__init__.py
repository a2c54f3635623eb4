"""Recordings from files, one module a format; ``any_format`` tells formats apart."""
