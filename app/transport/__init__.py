"""How goods travel: hubs, the legs between them, and the routes that they make."""
