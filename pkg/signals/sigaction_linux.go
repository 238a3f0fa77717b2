//go:build !riscv64

package signals

// sigaction is the kernel's struct sigaction of amd64 and arm64, which is not that of the C library; see rt_sigaction(2).
type sigaction struct {
	handler  uintptr
	flags    uint64
	restorer uintptr
	mask     uint64
}
