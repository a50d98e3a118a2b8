"""Routes of operators and platform teams: keys and tenants, with the scope `admin`."""
