package signals

// saRestorer says that sigaction.restorer is valid. amd64 demands it.
const saRestorer = 0x04000000
