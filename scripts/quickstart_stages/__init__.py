"""The quickstart's plan, stages and results."""
