"""Which feature runs on which backend: probes, their results and the page."""
