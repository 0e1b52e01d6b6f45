"""Many files at once: on all cores, or wherever an engine of the user's choice has room for them."""
