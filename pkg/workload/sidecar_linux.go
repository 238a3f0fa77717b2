package workload

import (
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/boot"
	"github.com/krunbox/krunbox/pkg/fault"
)

// Sidecar is the operation that starts another process of this program, for work that goes on when this process has become
// the workload. It runs from a copy in memory: the program's own file may be one-shot, and then its contents are gone as
// soon as anybody closes it a second time.
type Sidecar struct {
	Args []string // Args[0] chooses the applet
	// Input returns what the process reads as its standard input, up to 64 kB. Its other standard streams are those of this
	// process.
	Input func() []byte
}

// Describe implements boot.Op.
func (s Sidecar) Describe() boot.Desc {
	return boot.Desc{Verb: "start beside the workload", Object: s.Args[0], Attrs: []boot.Attr{boot.L("args", s.Args)}}
}

// Do implements boot.Op.
func (s Sidecar) Do() error {
	program, err := copyOfSelf()
	if err != nil {
		return err
	}
	defer unix.Close(program)
	// Whoever has the pipe full of less than its size does not wait for the other end.
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC); err != nil {
		return fault.Wrap(err, "open a pipe for ", s.Args[0])
	}
	defer unix.Close(pipe[0])
	_, err = unix.Write(pipe[1], s.Input())
	unix.Close(pipe[1])
	if err != nil {
		return fault.Wrap(err, "write to ", s.Args[0])
	}
	spec := Spec{
		Path:        "/proc/self/fd/" + strconv.Itoa(program),
		Args:        s.Args,
		Streams:     [3]int{pipe[0], 1, 2},
		CloseOthers: true,
	}
	_, err = spec.Start()
	return err
}

// copyOfSelf returns a descriptor of a copy of the running program in memory, memfd_create(2). The program's file stays open,
// to be closed with the exec of the workload, when nothing runs from it any more.
func copyOfSelf() (int, error) {
	const self = "/proc/self/exe"
	file, err := unix.Open(self, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return -1, fault.Wrap(err, "open ", self)
	}
	program, err := unix.MemfdCreate("krunbox", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	if err != nil {
		return -1, fault.Wrap(err, "make a file in memory")
	}
	for {
		n, err := unix.Sendfile(program, file, nil, 1<<30)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			unix.Close(program)
			return -1, fault.Wrap(err, "copy ", self, " to memory")
		}
		if n == 0 {
			break
		}
	}
	// Nobody shall write to a program that runs with our rights.
	if _, err := unix.FcntlInt(uintptr(program), unix.F_ADD_SEALS,
		unix.F_SEAL_WRITE|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_SEAL); err != nil {
		unix.Close(program)
		return -1, fault.Wrap(err, "seal the copy of ", self)
	}
	return program, nil
}
