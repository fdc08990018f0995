"""One look at everything whose time has come."""
