// Stamp is the frame that the two programs of stamp_amd64.s are linked in. This main never runs.
package main

func main() {}
