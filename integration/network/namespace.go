package network

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace. It exists as long as its file is open, or a process or socket
// is in it.
type namespace struct{ file *os.File }

func newNamespace() (*namespace, error) {
	var ns namespace
	err := onThread(func() error {
		if err := unix.Unshare(unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("new network namespace", err)
		}
		var err error
		ns.file, err = os.Open("/proc/thread-self/ns/net")
		return err
	})
	if err != nil {
		return nil, err
	}
	return &ns, nil
}

// do calls f on a thread in the namespace. Sockets and processes that f creates stay in the
// namespace.
func (ns *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

func (ns *namespace) close() error { return ns.file.Close() }

// onThread calls f on a thread of its own. The thread ends afterwards, because f may have changed
// its namespace.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // not unlocked, so that the thread ends with the goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread cannot end, so f is called on another one.
			defer runtime.UnlockOSThread()
			result <- onThread(f)
			return
		}
		result <- f()
	}()
	return <-result
}
