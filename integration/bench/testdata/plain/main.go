// Plain is the least that an init in Go can be: the base file systems, one child, its exit code for
// the host. What it takes is the floor for any init in Go. As any other process than the first it
// only writes a line: then it is the plainest program that Go allows.
package main

import "syscall"

const (
	setExitCode = 0x7602 // libkrun's ioctl on the root directory
	failed      = 125
	hidden      = syscall.MS_NODEV | syscall.MS_NOEXEC | syscall.MS_NOSUID | syscall.MS_RELATIME
	noDevices   = syscall.MS_NOEXEC | syscall.MS_NOSUID | syscall.MS_RELATIME
)

var mounts = []struct {
	dir, fstype string
	flags       uintptr
}{
	{"/dev", "devtmpfs", syscall.MS_RELATIME},
	{"/proc", "proc", hidden},
	{"/sys", "sysfs", hidden},
	{"/sys/fs/cgroup", "cgroup2", hidden},
	{"/dev/pts", "devpts", noDevices},
	{"/dev/shm", "tmpfs", noDevices},
}

func main() {
	if syscall.Getpid() != 1 {
		syscall.Write(1, []byte("plain\n"))
		return
	}
	code := run()
	if root, err := syscall.Open("/", syscall.O_RDONLY, 0); err == nil {
		syscall.Syscall(syscall.SYS_IOCTL, uintptr(root), setExitCode, uintptr(code))
	}
	syscall.Sync()
	syscall.Reboot(syscall.LINUX_REBOOT_CMD_RESTART)
}

// run returns the workload's exit code.
func run() int {
	for _, m := range mounts {
		syscall.Mkdir(m.dir, 0o755) // usually there
		err := syscall.Mount(m.fstype, m.dir, m.fstype, m.flags, "")
		if err != nil && err != syscall.EBUSY {
			return failed
		}
	}
	syscall.Symlink("/proc/self/fd", "/dev/fd")

	program, _ := syscall.Getenv("KRUN_INIT")
	attr := syscall.ProcAttr{Env: syscall.Environ(), Files: []uintptr{0, 1, 2}}
	child, err := syscall.ForkExec(program, []string{program}, &attr)
	if err != nil {
		return failed
	}
	for {
		var status syscall.WaitStatus
		pid, err := syscall.Wait4(-1, &status, 0, nil)
		if err != nil && err != syscall.EINTR {
			return failed
		}
		if pid == child {
			return status.ExitStatus()
		}
	}
}
