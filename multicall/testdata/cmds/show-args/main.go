// show-args shows its arguments. Its name is no Go identifier.
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
