package stdio

import (
	"io"
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// outputSize is the size of a buffer for output, in bytes. A port takes half of it at once.
	outputSize = 64 << 10
	// inputSize is the size of the buffer for input. Each write of the buffer wakes the workload,
	// which then takes the processor, so a larger buffer makes input faster.
	inputSize = 256 << 10
	// maxMoves limits what is moved of one stream before the others have their turn.
	maxMoves = 16
)

// flow is a standard stream on its way from source to sink, one of which is a port and the other
// one a pipe. Both have O_NONBLOCK. The zero flow is closed.
type flow struct {
	open         bool
	stream       int // standard descriptor
	source, sink int

	connected bool // the sink's other end has been seen open
	full      bool // the sink took nothing when it was tried last

	pages  bool   // splice(2) moves pages by way of stage; otherwise bytes are copied to buffer
	stage  [2]int // a pipe; 0: not yet opened. It limits what is in one element of a port's queue
	buffer []byte // nil: not yet needed
	held   int    // bytes in stage or buffer, which the sink has not taken yet
	start  int    // of these in buffer
	moved  int64  // bytes that the sink has taken
}

// newFlow returns the flow of a standard stream.
func newFlow(stream, source, sink int, pages bool) flow {
	f := flow{open: true, stream: stream, source: source, sink: sink, pages: pages}
	f.connected = stream == unix.Stdin // to a reader: this process or the workload
	return f
}

// run moves what can be moved, by the events that poll(2) reports for source and sink.
func (f *flow) run(source, sink int16) {
	const gone = unix.POLLHUP | unix.POLLERR | unix.POLLNVAL
	if sink&gone == 0 {
		f.connected = true
	}
	switch {
	case sink&gone != 0 && f.connected:
		f.close() // the workload's writes fail with EPIPE
	case source&(unix.POLLIN|gone) != 0 || f.held > 0:
		f.move()
	}
}

// move moves bytes until the source is empty, the sink is full, or others should have their turn.
func (f *flow) move() {
	for range maxMoves {
		var err error
		if f.held == 0 {
			err = f.fill()
		}
		if err == nil {
			err = f.flush()
		}
		f.full = f.held > 0
		switch err {
		case nil, unix.EINTR:
		case unix.EAGAIN:
			return
		case unix.ENOMEM: // try later, as if the port were not connected
			f.full, f.connected = true, false
			return
		case io.EOF:
			f.finish()
			return
		default:
			f.close()
			return
		}
	}
}

// fill takes bytes from the source. It returns EAGAIN if there are none yet, io.EOF at the end.
func (f *flow) fill() error {
	if f.pages && f.stage[0] == 0 {
		f.pages = unix.Pipe2(f.stage[:], unix.O_CLOEXEC|unix.O_NONBLOCK) == nil
	}
	if !f.pages {
		return f.read()
	}
	// The stage takes whole pages, as many as it has room for.
	n, err := unix.Splice(f.source, nil, f.stage[1], nil, 1<<30, unix.SPLICE_F_NONBLOCK)
	if err == nil && n == 0 {
		err = io.EOF
	}
	f.held = int(max(n, 0))
	return err
}

// read reads into the buffer until it is nearly full: a port gives a page at a time.
func (f *flow) read() error {
	const page = 4096
	if f.buffer == nil {
		size := outputSize
		if f.stream == unix.Stdin {
			size = inputSize
		}
		f.buffer = make([]byte, size)
	}
	f.start = 0
	for f.held+page <= len(f.buffer) {
		n, err := readNow(f.source, f.buffer[f.held:])
		switch {
		case n > 0:
			f.held += n
		case f.held > 0:
			return nil
		case err != nil:
			return err
		default:
			return io.EOF
		}
	}
	return nil
}

// flush passes on what fill has taken.
func (f *flow) flush() error {
	n, err := 0, error(nil)
	if f.pages {
		// The driver of ports must get all that is in the pipe: if it does not, it makes buffers of
		// no bytes for the rest, which break the device.
		var moved int64
		moved, err = unix.Splice(f.stage[0], nil, f.sink, nil, 1<<30, unix.SPLICE_F_NONBLOCK)
		if n = int(moved); n == 0 && err == nil {
			n = f.held // the port is broken, and the driver has dropped them
		}
	} else {
		n, err = unix.Write(f.sink, f.buffer[f.start:][:f.held])
	}
	if err == nil {
		f.held, f.start, f.moved = f.held-n, f.start+n, f.moved+int64(n)
	}
	return err
}

// end returns the value of moved when all output that has been written so far is moved.
func (f *flow) end() int64 {
	if !f.open || f.stream == unix.Stdin {
		return 0
	}
	waiting, _ := unix.IoctlGetInt(f.source, unix.TIOCINQ)
	return f.moved + int64(f.held+waiting)
}

// finish closes the source, which has ended, and the sink. A port for standard error stays open:
// lines of this process go there.
func (f *flow) finish() {
	f.open, f.buffer = false, nil
	unix.Close(f.source)
	if f.stage[0] != 0 {
		unix.Close(f.stage[0])
		unix.Close(f.stage[1])
	}
	if f.stream != unix.Stderr {
		f.closeSink()
	}
}

// close closes the source and the sink.
func (f *flow) close() {
	f.finish()
	f.closeSink()
}

func (f *flow) closeSink() {
	if f.sink > 0 {
		unix.Close(f.sink)
		f.sink = 0
	}
}

// readNow calls read(2) of a descriptor with O_NONBLOCK. It does not tell Go's scheduler, as package
// syscall does because a call may block: that is an eighth of the cost of input.
func readNow(fd int, p []byte) (n int, err error) {
	r, _, errno := syscall.RawSyscall(unix.SYS_READ, uintptr(fd),
		uintptr(unsafe.Pointer(unsafe.SliceData(p))), uintptr(len(p)))
	if errno != 0 {
		return 0, errno
	}
	return int(r), nil
}
