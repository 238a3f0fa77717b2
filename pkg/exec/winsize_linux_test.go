package exec

import (
	"strconv"
	"testing"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"
)

// terminal opens a pseudo-terminal, pty(7), and returns the descriptor of its terminal.
func terminal(t *testing.T) (tty int) {
	t.Helper()
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(master) })
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	path := "/dev/pts/" + strconv.Itoa(number)
	tty, err = unix.Open(path, unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { unix.Close(tty) })
	return tty
}

func TestWindowSize(t *testing.T) {
	tty := terminal(t)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	box := func(height, width uint) *specs.Box { return &specs.Box{Height: height, Width: width} }
	env := []string{"LINES=1", "LINES=50", "COLUMNS=132", "LINESX=7"}
	for _, c := range []struct {
		has  [2]uint16 // height and width
		op   WindowSize
		want [2]uint16
	}{
		{[2]uint16{}, WindowSize{}, [2]uint16{24, 80}},
		{[2]uint16{}, WindowSize{Env: env}, [2]uint16{50, 132}},
		{[2]uint16{}, WindowSize{ConsoleSize: box(10, 20), Env: env}, [2]uint16{10, 20}},
		{[2]uint16{}, WindowSize{ConsoleSize: box(0, 20), Env: env}, [2]uint16{50, 20}},
		{[2]uint16{}, WindowSize{Env: []string{"LINES=0", "COLUMNS=65536"}}, [2]uint16{24, 80}},
		{[2]uint16{}, WindowSize{Env: []string{"LINES=", "COLUMNS=-1"}}, [2]uint16{24, 80}},
		{[2]uint16{}, WindowSize{ConsoleSize: box(1<<20, 1)}, [2]uint16{65535, 1}},
		{[2]uint16{0, 99}, WindowSize{ConsoleSize: box(10, 20)}, [2]uint16{10, 99}},
		{[2]uint16{5, 6}, WindowSize{ConsoleSize: box(10, 20), Env: env}, [2]uint16{5, 6}},
	} {
		size := &unix.Winsize{Row: c.has[0], Col: c.has[1]}
		if err := unix.IoctlSetWinsize(tty, unix.TIOCSWINSZ, size); err != nil {
			t.Fatal(err)
		}
		c.op.Streams = [3]int{null, tty, null}
		err := c.op.Do()
		size, sizeErr := unix.IoctlGetWinsize(tty, unix.TIOCGWINSZ)
		if sizeErr != nil {
			t.Fatal(sizeErr)
		}
		if got := [2]uint16{size.Row, size.Col}; err != nil || got != c.want {
			t.Errorf("from %d, %+v.Do() = %v, size %d, want %d", c.has, c.op, err, got, c.want)
		}
	}
	if err := (WindowSize{Streams: [3]int{null, null, null}}).Do(); err != nil {
		t.Errorf("without a terminal: Do() = %v, want nil", err)
	}
}

// The program leads a session, and the first terminal among its streams is its controlling
// terminal.
func TestStartTerminal(t *testing.T) {
	tty := terminal(t)
	null, err := unix.Open("/dev/null", unix.O_RDWR|unix.O_CLOEXEC, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer unix.Close(null)
	for _, c := range []struct {
		streams [3]int
		want    int
	}{
		{[3]int{null, null, tty}, 0},
		{[3]int{tty, null, null}, 0},
		{[3]int{null, null, null}, 1},
	} {
		spec := Spec{
			Process:    specs.Process{Args: []string{"/bin/sh", "-c", "exec 3</dev/tty"}},
			Streams:    c.streams,
			NewSession: true,
		}
		pid, err := spec.Start()
		if err != nil {
			t.Fatal(err)
		}
		// dash exits with 2 if the redirection fails.
		if ws := wait(t, pid); min(ws.ExitStatus(), 1) != c.want {
			t.Errorf("streams %d: status of opening /dev/tty = %d, want %d",
				c.streams, ws.ExitStatus(), c.want)
		}
	}
}
