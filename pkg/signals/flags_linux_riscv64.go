package signals

// saRestorer is not needed: the kernel has a restorer in the vDSO.
const saRestorer = 0

// sigaction is the kernel's struct sigaction, which is not that of the C library; see rt_sigaction(2). Here it ends with the
// mask.
type sigaction struct {
	handler  uintptr
	flags    uint64
	mask     uint64
	restorer uintptr
}
