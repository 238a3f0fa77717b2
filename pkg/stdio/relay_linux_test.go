package stdio

import (
	"bytes"
	"reflect"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/loop"
)

// newRelay returns a relay of one stream. In place of the port it has a socket, whose other end is
// host; theirs is the workload's end of the pipe.
func newRelay(t *testing.T, stream int, pages bool) (r *Relay, host, theirs int) {
	t.Helper()
	sockets, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		t.Fatal(err)
	}
	var pipe [2]int
	if err := unix.Pipe2(pipe[:], unix.O_CLOEXEC|unix.O_NONBLOCK); err != nil {
		t.Fatal(err)
	}
	source, sink, theirs := pipe[0], sockets[0], pipe[1]
	if stream == unix.Stdin {
		source, sink, theirs = sockets[0], pipe[1], pipe[0]
	}
	r = &Relay{}
	r.flows[stream] = newFlow(stream, source, sink, pages)
	return r, sockets[1], theirs
}

// write writes until fd takes no more, at most n bytes, and returns how many it took.
func write(t *testing.T, fd, n int) (written int) {
	t.Helper()
	data := bytes.Repeat([]byte("0123456789abcdef"), n/16+1)
	for written < n {
		k, err := unix.Write(fd, data[:min(n-written, len(data))])
		if err == unix.EAGAIN {
			break
		}
		if err != nil {
			t.Fatal(err)
		}
		written += k
	}
	return written
}

// read reads what there is, and reports whether the end came.
func read(t *testing.T, fd int) (n int, end bool) {
	t.Helper()
	buf := make([]byte, 1<<20)
	for {
		k, err := unix.Read(fd, buf)
		switch {
		case err == unix.EAGAIN:
			return n, false
		case err != nil:
			t.Fatal(err)
		case k == 0:
			return n, true
		}
		n += k
	}
}

// waits reports whether the relay has nothing to do, and for how long.
func waits(r *Relay) (time.Duration, bool) {
	fds, wait := r.Poll(nil)
	n, err := unix.Poll(fds, 0)
	return wait, n == 0 && err == nil
}

func TestRelayOutput(t *testing.T) {
	for _, pages := range []bool{false, true} {
		r, host, theirs := newRelay(t, unix.Stdout, pages)
		moved, want := 0, 0
		for range 10 {
			want += write(t, theirs, 40000)
			r.Run()
			n, _ := read(t, host)
			moved += n
		}
		if moved != want || want != 400000 {
			t.Errorf("pages %v: %d of %d bytes are moved", pages, moved, want)
		}
		// A host that does not read fills the port and the pipe, and process 1 waits.
		for write(t, theirs, 1<<20) > 0 {
			r.Run()
		}
		if wait, idle := waits(r); !idle || wait != loop.Forever {
			t.Errorf("pages %v: a full port keeps the relay busy", pages)
		}
		// What is left arrives when the host reads again, and the end after it.
		unix.Close(theirs)
		var end bool
		for range 1000 {
			if _, end = read(t, host); end {
				break
			}
			r.Run()
		}
		if !end || !r.Idle() {
			t.Errorf("pages %v: the end did not arrive; idle %v", pages, r.Idle())
		}
	}
}

func TestRelayHostCloses(t *testing.T) {
	r, host, theirs := newRelay(t, unix.Stdout, true)
	r.Run()
	unix.Close(host)
	if _, idle := waits(r); idle {
		t.Error("poll does not report that the host closed the port")
	}
	r.Run()
	if _, err := unix.Write(theirs, []byte("x")); err != unix.EPIPE || !r.Idle() {
		t.Errorf("write = %v, want EPIPE; idle %v", err, r.Idle())
	}
}

func TestRelayInput(t *testing.T) {
	r, host, theirs := newRelay(t, unix.Stdin, false)
	unix.SetsockoptInt(host, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<20)
	sent, received := 0, 0
	for range 100 {
		sent += write(t, host, 50000)
		r.Run()
		n, _ := read(t, theirs)
		received += n
	}
	// What nobody reads stays with the host, but for what fits into the pipe and the buffer.
	for write(t, host, 1<<20) > 0 {
		r.Run()
	}
	if wait, idle := waits(r); !idle || wait != loop.Forever {
		t.Error("a full pipe keeps the relay busy")
	}
	if n := received; n == 0 || n > sent {
		t.Errorf("%d bytes of %d are received", n, sent)
	}
	unix.Shutdown(host, unix.SHUT_WR)
	var end bool
	for range 10000 {
		if _, end = read(t, theirs); end {
			break
		}
		r.Run()
	}
	if !end || !r.Idle() {
		t.Errorf("the end did not arrive; idle %v", r.Idle())
	}
}

// A workload that closes its standard input lets the host notice.
func TestRelayInputClosed(t *testing.T) {
	r, host, theirs := newRelay(t, unix.Stdin, false)
	unix.Close(theirs)
	if _, idle := waits(r); idle {
		t.Error("poll does not report that the workload closed its input")
	}
	r.Run()
	if _, end := read(t, host); !end || !r.Idle() {
		t.Errorf("the port is still open; idle %v", r.Idle())
	}
}

// A port that the host has not opened yet looks closed. The workload waits for the host.
func TestRelayNotConnected(t *testing.T) {
	f := newFlow(unix.Stdout, 0, 0, false)
	r := &Relay{}
	f.full = true
	r.flows[unix.Stdout] = f
	if fds, wait := r.Poll(nil); len(fds) != 0 || wait != connectInterval {
		t.Errorf("Poll() = %v, %v, want no descriptors, %v", fds, wait, connectInterval)
	}
	f.run(0, unix.POLLHUP)
	if !f.open || f.connected {
		t.Errorf("open %v, connected %v, want true, false", f.open, f.connected)
	}
}

func TestDrain(t *testing.T) {
	r, host, theirs := newRelay(t, unix.Stderr, true)
	write(t, theirs, 1000)
	if err := (Drain{Relay: r, Limit: time.Minute}).Do(); err != nil {
		t.Errorf("Drain = %v", err)
	}
	if n, _ := read(t, host); n != 1000 || r.Stderr(2) <= 2 {
		t.Errorf("%d bytes, stderr %d, want 1000 and the port", n, r.Stderr(2))
	}
	for write(t, theirs, 1<<20) > 0 {
		r.Run()
	}
	r.until = 0
	start := loop.Now()
	err := Drain{Relay: r, Limit: 50 * time.Millisecond}.Do()
	if took := loop.Now() - start; err == nil || took < 50*time.Millisecond {
		t.Errorf("Drain to a host that does not read = %v after %v, want an error", err, took)
	}
	if err := (Drain{Relay: r, Limit: time.Hour}).Do(); err == nil {
		t.Error("second Drain = nil, want an error at once")
	}
}

func TestHandover(t *testing.T) {
	if r := new(Relay); r.Handover() != nil || !r.Idle() || r.Files() != nil || r.Stderr(7) != 7 {
		t.Error("a relay without ports has something to hand over")
	}
	r, _, _ := newRelay(t, unix.Stdout, true)
	var next Relay
	if err := next.Resume(r.Handover()); err != nil || !reflect.DeepEqual(next.flows, r.flows) {
		t.Errorf("Resume() = %v, %+v, want %+v", err, next.flows, r.flows)
	}
	for _, state := range []string{"", "x", "\x03\x04\x05\x00", "\x01\x04\x05", "\x01\x04\x05\x00\x01"} {
		if err := new(Relay).Resume([]byte(state)); err == nil {
			t.Errorf("Resume(%q) = nil, want an error", state)
		}
	}
}
