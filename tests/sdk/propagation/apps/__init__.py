"""Applications of several processes, as users write them; test_hops.py runs them."""
