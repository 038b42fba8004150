"""The rerank core: pure functions and one generator per search. No sockets, no clocks, no threads."""
