// Guest is a program for the guests of package soak, for what a shell cannot do. Its arguments are a
// verb and the verb's arguments:
//
//	prlimit PID RESOURCE LIMIT    sets both limits of a process; RESOURCE is the number of RLIMIT_*
package main

import (
	"fmt"
	"os"
	"strconv"

	"golang.org/x/sys/unix"
)

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) != 4 || args[0] != "prlimit" {
		fmt.Fprintln(os.Stderr, "usage: guest prlimit PID RESOURCE LIMIT")
		return 2
	}
	var numbers [3]uint64
	for i := range numbers {
		n, err := strconv.ParseUint(args[i+1], 10, 64)
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 2
		}
		numbers[i] = n
	}
	limit := unix.Rlimit{Cur: numbers[2], Max: numbers[2]}
	if err := unix.Prlimit(int(numbers[0]), int(numbers[1]), &limit, nil); err != nil {
		fmt.Fprintf(os.Stderr, "prlimit of process %d: %v\n", numbers[0], err)
		return 1
	}
	return 0
}
