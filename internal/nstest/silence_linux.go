package nstest

import (
	"encoding/binary"
	"strconv"
	"testing"

	"golang.org/x/sys/unix"
)

// Silence mounts a FUSE file system whose server never replies on the directory dir. A process that
// accesses it waits in the kernel (state D) and cannot be killed. Silence returns a function that
// waits until a process accesses the file system, and the server's descriptor. Closing the
// descriptor makes the accesses fail. Silence skips the test if FUSE is not available.
func Silence(t *testing.T, dir string) (someoneWaits func(), server int) {
	t.Helper()
	server, err := unix.Open("/dev/fuse", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Skip("FUSE is not available: ", err)
	}
	options := "fd=" + strconv.Itoa(server) + ",rootmode=40000,user_id=0,group_id=0"
	if err := unix.Mount("silence", dir, "fuse", 0, options); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = unix.Unmount(dir, unix.MNT_DETACH) })
	request := make([]byte, 1<<17)
	next := func() {
		t.Helper()
		if _, err := unix.Read(server, request); err != nil {
			t.Fatal("read a FUSE request: ", err)
		}
	}
	// Reply to FUSE_INIT only; see fuse(4). The reply has length, error and unique, then version
	// 7.22, read-ahead, flags, queues and the size of writes.
	next()
	answer := binary.NativeEndian.AppendUint32(nil, 16+24)
	answer = binary.NativeEndian.AppendUint32(answer, 0)
	answer = append(answer, request[8:16]...)
	for _, word := range []uint32{7, 22, 0, 0, 0, 4096} {
		answer = binary.NativeEndian.AppendUint32(answer, word)
	}
	if _, err := unix.Write(server, answer); err != nil {
		t.Fatal("reply to FUSE_INIT: ", err)
	}
	return next, server
}
