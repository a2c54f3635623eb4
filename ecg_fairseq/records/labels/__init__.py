"""Labels of recordings: sets, tables and files of them."""
