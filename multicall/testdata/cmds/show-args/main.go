// Show-args prints its arguments. Its name is not a Go identifier.
//
// Synopsis:
//
//	show-args [ARG...]
package main

import (
	"fmt"
	"os"
)

func main() {
	fmt.Printf("show-args %q\n", os.Args)
}
