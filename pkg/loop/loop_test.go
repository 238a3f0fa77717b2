//go:build linux || freebsd

package loop

import (
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// reader is a task that counts the bytes that come through a pipe.
type reader struct {
	fd     int
	wait   time.Duration
	panics string // "poll" or "run"
	bytes  int
	runs   int
}

func (r *reader) Poll(fds []unix.PollFd) ([]unix.PollFd, time.Duration) {
	if r.panics == "poll" {
		panic("in poll")
	}
	return append(fds, unix.PollFd{Fd: int32(r.fd), Events: unix.POLLIN}), r.wait
}

func (r *reader) Run() {
	r.runs++
	if r.panics == "run" {
		var nobody *reader
		nobody.bytes++
	}
	var b [16]byte
	if n, err := unix.Read(r.fd, b[:]); err == nil {
		r.bytes += n
	}
}

func pipe(t *testing.T) (read, write int) {
	t.Helper()
	var fds [2]int
	if err := unix.Pipe2(fds[:], unix.O_NONBLOCK|unix.O_CLOEXEC); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		unix.Close(fds[0])
		unix.Close(fds[1])
	})
	return fds[0], fds[1]
}

func TestStep(t *testing.T) {
	signals, signal := pipe(t)
	in, out := pipe(t)
	task := &reader{fd: in, wait: Forever}
	l := Loop{Tasks: []Task{task}}

	unix.Write(out, []byte("abc"))
	if ready, err := l.Step(signals, Forever); ready || err != nil || task.bytes != 3 {
		t.Errorf("Step() = %v, %v with %d bytes read, want false, nil, 3", ready, err, task.bytes)
	}
	unix.Write(signal, []byte{1})
	if ready, err := l.Step(signals, Forever); !ready || err != nil {
		t.Errorf("Step() with input = %v, %v, want true, nil", ready, err)
	}
	unix.Read(signals, make([]byte, 1))

	// The shorter of the task's time and the limit ends the wait, and not before it has passed.
	const short = 20 * time.Millisecond
	for _, times := range [][2]time.Duration{{short, Forever}, {Forever, short}, {time.Hour, short}} {
		task.wait = times[0]
		start, runs := Now(), task.runs
		if ready, err := l.Step(signals, times[1]); ready || err != nil || task.runs != runs+1 {
			t.Errorf("Step() = %v, %v, %d runs, want false, nil, 1", ready, err, task.runs-runs)
		}
		if took := Now() - start; took < short {
			t.Errorf("Step() with times %v took %v, want %v", times, took, short)
		}
	}
	unix.Close(signal)
	if ready, err := l.Step(signals, Forever); !ready || err != nil {
		t.Errorf("Step() with a closed pipe = %v, %v, want true, nil", ready, err)
	}
}

// A task that panics is removed, and the others go on.
func TestStepPanic(t *testing.T) {
	in, out := pipe(t)
	for _, where := range []string{"poll", "run"} {
		var warnings []string
		good := &reader{fd: in, wait: Forever}
		l := Loop{
			Tasks: []Task{&reader{fd: in, panics: where, wait: 0}, good},
			Warn:  func(err error) { warnings = append(warnings, err.Error()) },
		}
		for range 2 {
			unix.Write(out, []byte("x"))
			if _, err := l.Step(-1, Forever); err != nil {
				t.Error(err)
			}
		}
		if good.bytes != 2 || len(l.Tasks) != 1 || len(warnings) != 1 ||
			!strings.HasPrefix(warnings[0], "internal error: ") {
			t.Errorf("panic in %s: %d bytes, %d tasks, warnings %q, want 2, 1, and one", where,
				good.bytes, len(l.Tasks), warnings)
		}
	}
}
