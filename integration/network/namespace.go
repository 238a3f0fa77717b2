package network

import (
	"os"
	"runtime"

	"golang.org/x/sys/unix"
)

// A namespace is a network namespace of its own. It has no name: it is gone with its file and the processes and sockets in
// it.
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

// do calls f on a thread that is in the namespace. Sockets that f makes are in it for ever, and so are processes.
func (ns *namespace) do(f func() error) error {
	return onThread(func() error {
		if err := unix.Setns(int(ns.file.Fd()), unix.CLONE_NEWNET); err != nil {
			return os.NewSyscallError("setns", err)
		}
		return f()
	})
}

func (ns *namespace) close() error { return ns.file.Close() }

// onThread calls f on a thread that ends afterwards, as nobody else should get it.
func onThread(f func() error) error {
	result := make(chan error, 1)
	go func() {
		runtime.LockOSThread() // never unlocked, which ends the thread with the goroutine
		if unix.Gettid() == unix.Getpid() {
			defer runtime.UnlockOSThread() // but the main thread can't end: use another one
			result <- onThread(f)
			return
		}
		result <- f()
	}()
	return <-result
}
