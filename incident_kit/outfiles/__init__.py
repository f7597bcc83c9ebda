"""Files that the kit writes: whole or not at all."""
