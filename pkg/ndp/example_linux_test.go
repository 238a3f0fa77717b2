package ndp_test

import (
	"fmt"
	"net/netip"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/ndp"
)

// A table forgets what an advertisement says when its lifetime ends.
func ExampleTable() {
	message := []byte{
		134, 0, 0, 0, 64, 0x40, 0x07, 0x08, 0, 0, 0, 0, 0, 0, 0, 0, // flag O, router for 1800 s
		25, 3, 0, 0, 0, 0, 0x02, 0x58, // RDNSS, 600 s
		0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0x53,
	}
	a, err := ndp.Parse(message, netip.MustParseAddr("fe80::1"), 255)
	if err != nil {
		panic(err)
	}
	var table ndp.Table
	table.Update(0, a)
	fmt.Println(table.Routers(0), table.Servers(0), table.Other())

	at := table.Deadline()
	table.Expire(at)
	fmt.Println(at, table.Routers(at), table.Servers(at), table.Other())
	// Output:
	// [fe80::1] [fd00::53] true
	// 10m0s [fe80::1] [] true
}

// A loop keeps a table up to date.
func ExampleSocket() {
	now := func() time.Duration {
		var t unix.Timespec
		if err := unix.ClockGettime(unix.CLOCK_BOOTTIME, &t); err != nil {
			panic(err)
		}
		return time.Duration(t.Nano())
	}
	socket, err := ndp.OpenSocket(2)
	if err != nil {
		fmt.Println(err)
		return
	}
	defer socket.Close()
	_ = socket.Solicit() // without an address yet, the kernel will do it
	var table ndp.Table
	buf := make([]byte, 2048)
	for {
		timeout := -1 // wait for an advertisement
		if at := table.Deadline(); at != ndp.Infinite {
			timeout = int(min(max(at-now(), 0), time.Hour).Milliseconds()) + 1 // rounded up
		}
		fds := []unix.PollFd{{Fd: int32(socket.FD()), Events: unix.POLLIN}}
		if _, err := unix.Poll(fds, timeout); err != nil && err != unix.EINTR {
			fmt.Println(err)
			return
		}
		if a, err := socket.Receive(buf); err == nil {
			table.Update(now(), a)
		}
		table.Expire(now())
		fmt.Println(table.Servers(now()), table.Search(now()))
	}
}
