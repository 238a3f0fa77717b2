// Descriptors writes the file types of descriptors 0, 1 and 2 to descriptor 3.
package main

import (
	"fmt"
	"os"
	"strconv"
)

func main() {
	out := os.NewFile(3, "3")
	for fd := range uintptr(3) {
		info, err := os.NewFile(fd, strconv.Itoa(int(fd))).Stat()
		if err != nil {
			fmt.Fprintln(out, err)
			continue
		}
		fmt.Fprintln(out, info.Mode().Type())
	}
}
