"""Experts: banks that return one slice per expert, `(..., E, U)`."""
