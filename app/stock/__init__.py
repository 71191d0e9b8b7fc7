"""Stock: sites, lots and what is promised of them."""
