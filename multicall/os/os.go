// Package os is what a command's main function needs of the standard library's package of that name. The
// standard one makes three files before main, with finalizers, and raises the limit of open files: in every boot, for each
// applet of the binary, whether it uses them or not. That is 3 % of a boot, and 65 kB of the binary.
package os

import (
	"io"
	"strconv"
	"syscall"
	"unsafe" // for linkname, and poll(2)
)

// Args are the program's name and arguments.
var Args = runtimeArgs()

// The standard streams.
const (
	Stdin  File = 0
	Stdout File = 1
	Stderr File = 2
)

// Exit ends the process with a status of 0 to 255. Deferred functions are not run.
func Exit(code int) { syscall.Exit(code) }

// Environ returns the environment that the process was started with, as it was given: of several entries of a name all.
func Environ() []string { return runtimeEnvs() }

// File is an open file by its descriptor.
type File int

// Error is the failure of an operation on a standard stream.
type Error struct {
	Op   string // "read", "write"
	File File
	Err  error
}

func (e *Error) Error() string {
	name := "descriptor " + strconv.Itoa(int(e.File))
	switch e.File {
	case Stdin:
		name = "standard input"
	case Stdout:
		name = "standard output"
	case Stderr:
		name = "standard error"
	}
	return e.Op + " " + name + ": " + e.Err.Error()
}

// Unwrap returns the system call's error.
func (e *Error) Unwrap() error { return e.Err }

// Read implements io.Reader. Where the descriptor does not block it waits all the same.
func (f File) Read(b []byte) (int, error) {
	for {
		n, err := syscall.Read(int(f), b)
		switch {
		case err == nil && n == 0 && len(b) > 0:
			return 0, io.EOF
		case err == nil:
			return n, nil
		case !f.again(err, pollIn):
			return 0, &Error{"read", f, err}
		}
	}
}

// Write implements io.Writer. Where the descriptor does not block it waits all the same. A process whose standard output or
// error nobody reads any more dies of SIGPIPE.
func (f File) Write(b []byte) (int, error) {
	written := 0
	for {
		n, err := syscall.Write(int(f), b[written:])
		written += max(n, 0)
		switch {
		case err == nil && written == len(b):
			return written, nil
		case err == nil && n == 0:
			return written, &Error{"write", f, io.ErrUnexpectedEOF}
		case err == nil || f.again(err, pollOut):
			continue
		case err == syscall.EPIPE && (f == Stdout || f == Stderr):
			sigpipe()
		}
		return written, &Error{"write", f, err}
	}
}

// WriteString implements io.StringWriter.
func (f File) WriteString(s string) (int, error) { return f.Write([]byte(s)) }

// again tells whether what has failed is worth another try: after it has waited for the events, if they are to be waited for.
func (f File) again(err error, events int16) bool {
	if err == syscall.EAGAIN {
		fds := pollFD{fd: int32(f), events: events}
		if err := poll(unsafe.Pointer(&fds)); err != 0 {
			return err == syscall.EINTR
		}
		return true
	}
	return err == syscall.EINTR
}

// pollFD is struct pollfd of poll(2).
type pollFD struct {
	fd      int32
	events  int16
	revents int16
}

const (
	pollIn  = 1 // POLLIN
	pollOut = 4 // POLLOUT
)

// What the runtime has for packages os and syscall. The latter's Environ makes a map first.

//go:linkname runtimeArgs os.runtime_args
func runtimeArgs() []string

//go:linkname runtimeEnvs syscall.runtime_envs
func runtimeEnvs() []string

//go:linkname sigpipe os.sigpipe
func sigpipe()
