package bench

// readTicks reads the processor's time stamp counter.
func readTicks() uint64
