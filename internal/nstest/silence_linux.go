package nstest

import (
	"encoding/binary"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Silence mounts a file system on the directory dir whose server never answers: a process that looks into it waits in the
// kernel (state D) and can't be killed. It returns a function that waits until one does, and the server's descriptor: when it
// is closed, their wait is over. It skips where there is no FUSE.
func Silence(t *testing.T, dir string) (someoneWaits func(), server int) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("needs FUSE: ", err)
	}
	if err := unix.Mount("silence", dir, "fuse", 0, "fd="+strconv.Itoa(server)+",rootmode=40000,user_id=0,group_id=0"); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	request := make([]byte, 1<<17)
	next := func() {
		t.Helper()
		if _, err := unix.Read(server, request); err != nil {
			t.Fatal("read a request to a file system: ", err)
		}
	}
	// FUSE_INIT alone is answered: length, error, unique; version 7.22, read-ahead, flags, queues, size of writes. See fuse(4).
	next()
	answer := binary.NativeEndian.AppendUint32(nil, 16+24)
	answer = binary.NativeEndian.AppendUint32(answer, 0)
	answer = append(answer, request[8:16]...)
	for _, word := range []uint32{7, 22, 0, 0, 0, 4096} {
		answer = binary.NativeEndian.AppendUint32(answer, word)
	}
	if _, err := unix.Write(server, answer); err != nil {
		t.Fatal("answer a file system: ", err)
	}
	return next, server
}
