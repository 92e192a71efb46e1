"""What a network costs: MACs, parameters, memory, and the trace they are counted from."""
