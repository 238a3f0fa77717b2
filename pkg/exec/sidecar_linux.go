package exec

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Sidecar is another process of this program.
type Sidecar struct {
	Args []string // Args[0] selects the applet
	// Stdin returns a descriptor for the process's standard input, which is closed when the
	// process has started, or a negative number if the process is not needed. The other standard
	// streams are those of this process.
	Stdin func() (fd int, err error)
	// Files, unless nil, returns other descriptors for the process, which keep their numbers.
	Files func() []int
	// Await says that the process, whose standard input is a pipe, closes that when it is ready.
	Await bool
}

// Sidecars is the operation that starts processes which go on with this program's work when this
// process has become the workload. If one can't be started, the others still
// are.
//
// They run from a copy of the program in memory. The program's own file may be one-shot: its
// contents are gone as soon as anybody closes it a second time.
type Sidecars []Sidecar

func (s Sidecars) Describe() op.Description {
	var names []string
	var details []any
	for _, p := range s {
		names = append(names, p.Args[0])
		details = append(details, p.Args[0], p.Args)
	}
	return op.Describe("start beside the workload", strings.Join(names, ","), details...)
}

func (s Sidecars) Do() error {
	program := -1
	var errs []error
	for _, p := range s {
		stdin, err := p.Stdin()
		if err == nil && stdin < 0 {
			continue
		}
		if err == nil && program < 0 {
			if program, err = copyOfSelf(); err == nil {
				defer unix.Close(program)
			}
		}
		if err == nil {
			err = p.start(program, stdin)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("start %s: %w", p.Args[0], err))
		}
	}
	return errors.Join(errs...)
}

func (s *Sidecar) start(program, stdin int) error {
	spec := Spec{
		Process:     specs.Process{Args: s.Args},
		Path:        fmt.Sprintf("/proc/self/fd/%d", program),
		Streams:     [3]int{0: stdin},
		CloseOthers: true,
	}
	if s.Files != nil {
		spec.Inherit = s.Files()
	}
	write := -1
	if s.Await {
		path := fmt.Sprintf("/proc/self/fd/%d", stdin)
		write, _ = unix.Open(path, unix.O_WRONLY|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
		defer unix.Close(write)
	}
	_, err := spec.Start()
	unix.Close(stdin)
	if err == nil && write >= 0 {
		// A pipe without readers is an error condition, poll(2).
		_, _ = unix.Poll([]unix.PollFd{{Fd: int32(write)}}, int(awaitLimit.Milliseconds()))
	}
	return err
}

// awaitLimit is how long to wait until a sidecar is ready.
const awaitLimit = 5 * time.Second

// Text returns a descriptor from which text, of at most 64 kB, can be read.
func Text(text []byte) (fd int, err error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, fmt.Errorf("open a pipe: %w", err)
	}
	// The pipe holds the text without a reader, pipe(7).
	n, err := unix.Write(pipe[1], text)
	unix.Close(pipe[1])
	if err == nil && n < len(text) {
		err = io.ErrShortWrite
	}
	if err == nil {
		err = unix.SetNonblock(pipe[0], false)
	}
	if err != nil {
		unix.Close(pipe[0])
		return -1, fmt.Errorf("write to a pipe: %w", err)
	}
	return pipe[0], nil
}

// copyOfSelf returns a descriptor of a copy of the running program in memory, memfd_create(2).
// The program's file stays open until this process executes the workload and no longer runs from
// it.
func copyOfSelf() (int, error) {
	const self = "/proc/self/exe"
	file, err := unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", self, err)
	}
	program, err := unix.MemfdCreate("krunbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("create a file in memory: %w", err)
	}
	for {
		n, err := unix.Sendfile(program, file, nil, 1<<30)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			unix.Close(program)
			return -1, fmt.Errorf("copy %s to memory: %w", self, err)
		}
		if n == 0 {
			break
		}
	}
	// Nobody may change a program that runs with the rights of this one.
	if _, err := unix.FcntlInt(uintptr(program), unix.F_ADD_SEALS,
		unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		unix.Close(program)
		return -1, fmt.Errorf("seal the copy of %s: %w", self, err)
	}
	return program, nil
}
