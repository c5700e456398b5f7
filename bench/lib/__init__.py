"""Parts of `bench/compare`: the host, the three systems, the load, the plan, and what is written about them."""
