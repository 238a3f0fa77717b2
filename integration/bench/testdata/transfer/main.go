// Transfer is a workload that moves data through its standard streams: it writes Total bytes for
// each of the sizes that are its arguments, in writes of that size. Then it writes one more byte,
// reads Total bytes from its standard input, and writes another byte.
package main

import (
	"os"
	"strconv"
	"syscall"
)

// total is bench.TransferSize.
const total = 40_000_000

func main() {
	for _, arg := range os.Args[1:] {
		size, err := strconv.Atoi(arg)
		if err != nil {
			os.Exit(2)
		}
		buffer := make([]byte, size)
		for left := total; left > 0; {
			left -= transfer(syscall.Write, 1, buffer[:min(left, size)])
		}
	}
	mark := []byte{0}
	transfer(syscall.Write, 1, mark)
	buffer := make([]byte, 64<<10)
	for left := total; left > 0; {
		left -= transfer(syscall.Read, 0, buffer[:min(left, len(buffer))])
	}
	transfer(syscall.Write, 1, mark)
}

// transfer reads or writes once, and returns how many bytes.
func transfer(call func(int, []byte) (int, error), fd int, p []byte) int {
	for {
		n, err := call(fd, p)
		if n > 0 {
			return n
		}
		if err != syscall.EINTR {
			os.Exit(1)
		}
	}
}
