"""HTTP: the listening server, the connections to the engine, and the driver of the core's generator."""
