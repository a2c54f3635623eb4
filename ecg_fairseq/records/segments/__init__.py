"""Training lists ``{split}.tsv``, and the segments that their lines mean."""
