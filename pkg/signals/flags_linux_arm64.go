package signals

// saRestorer is not needed: the kernel has a restorer in the vDSO.
const saRestorer = 0
