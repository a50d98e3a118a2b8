"""Where a request ends: HAProxy and a replica's server must agree, whatever is sent."""
