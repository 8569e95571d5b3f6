"""Which experts to keep."""
