"""The three stages, and the one loop over passes that trains them."""
