"""A simulated cohort, and any dataset's published layout written from it."""
