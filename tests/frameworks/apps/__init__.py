"""Applications as users write them; the frameworks' interpreter runs them."""
