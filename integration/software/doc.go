// Package software runs real programs in guests, as people do. Each program has a file with its
// root, which is made of Debian packages and set up like the program's official container image,
// and with tests that do what a user of the program does and check it from the host.
//
// The roots are read-only; a guest's changes are in an overlay in its memory. They are in the
// cache, see package cache. The first test that needs a root downloads its packages, which takes
// some 100 MB for all roots, and requires root.
//
// Six programs are tested by every go test, the others with the build tag "software" only: make
// test-software.
package software
