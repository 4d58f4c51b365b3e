"""Both passes of the layers while a CPU trains."""
