"""Test that HAProxy and a replica's server agree on the end of each request."""
