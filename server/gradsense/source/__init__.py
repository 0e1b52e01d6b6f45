"""Text to blocks to libcst trees, again and again: memoised pure functions that know nothing of torch."""
