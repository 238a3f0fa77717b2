package exec

import (
	"errors"
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Sidecar is another process of this program.
type Sidecar struct {
	Args []string // Args[0] chooses the applet
	// Stdin returns a descriptor for its standard input, to be closed when it has started; a negative one if the process is
	// not needed. Its other standard streams are those of this process.
	Stdin func() (int, error)
}

// Sidecars is the operation that starts processes for work that goes on when this process has become the workload. They run
// from a copy of the program in memory: its own file may be one-shot, and then its contents are gone as soon as anybody
// closes it a second time.
type Sidecars []Sidecar

func (s Sidecars) Describe() op.Description {
	d := op.Describe("start beside the workload", "")
	for i, p := range s {
		if i > 0 {
			d.Object += ","
		}
		d.Object += p.Args[0]
		d.Details = append(d.Details, op.L(p.Args[0], p.Args))
	}
	return d
}

// Do implements op.Op. The processes do not depend on each other.
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
	defer unix.Close(stdin)
	spec := Spec{
		Path:        "/proc/self/fd/" + strconv.Itoa(program),
		Args:        s.Args,
		Streams:     [3]int{stdin, 1, 2},
		CloseOthers: true,
	}
	_, err := spec.Start()
	return err
}

// Text returns a descriptor from which text can be read, up to 64 kB.
func Text(text []byte) (int, error) {
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		return -1, fmt.Errorf("open a pipe: %w", err)
	}
	// It holds that much without a reader.
	_, err := unix.Write(pipe[1], text)
	unix.Close(pipe[1])
	if err == nil {
		err = unix.SetNonblock(pipe[0], false)
	}
	if err != nil {
		unix.Close(pipe[0])
		return -1, fmt.Errorf("write to a pipe: %w", err)
	}
	return pipe[0], nil
}

// copyOfSelf returns a descriptor of a copy of the running program in memory, memfd_create(2). The program's file stays open,
// to be closed with the exec of the workload, when nothing runs from it any more.
func copyOfSelf() (int, error) {
	const self = "/proc/self/exe"
	file, err := unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fmt.Errorf("open %s: %w", self, err)
	}
	program, err := unix.MemfdCreate("krunbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fmt.Errorf("make a file in memory: %w", err)
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
	// Nobody shall write to a program that runs with our rights.
	if _, err := unix.FcntlInt(uintptr(program), unix.F_ADD_SEALS,
		unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		unix.Close(program)
		return -1, fmt.Errorf("seal the copy of %s: %w", self, err)
	}
	return program, nil
}
