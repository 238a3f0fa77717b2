package software

import (
	"io"
	"os"
	"os/exec"
	"strconv"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"
)

// A session is a program of this machine that runs on a terminal.
type session struct {
	t        *testing.T
	terminal *os.File // the user's side
	screen   *output
	cmd      *exec.Cmd
}

// startOnTerminal starts cmd on a new terminal of a size.
func startOnTerminal(t *testing.T, cmd *exec.Cmd, rows, columns uint16) *session {
	t.Helper()
	ptmx, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ptmx.Close() })
	fd := int(ptmx.Fd())
	if err := unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0); err != nil {
		t.Fatal(err)
	}
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	if err != nil {
		t.Fatal(err)
	}
	if err := unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: rows, Col: columns}); err != nil {
		t.Fatal(err)
	}
	pts, err := os.OpenFile("/dev/pts/"+strconv.Itoa(number), os.O_RDWR|syscall.O_NOCTTY, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer pts.Close()
	cmd.Stdin, cmd.Stdout, cmd.Stderr = pts, pts, pts
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	s := &session{t: t, terminal: ptmx, screen: newOutput(), cmd: cmd}
	go func() {
		io.Copy(s.screen, ptmx) // ends with EIO
		s.screen.close()
	}()
	return s
}

// enter types text.
func (s *session) enter(text string) {
	s.t.Helper()
	if _, err := io.WriteString(s.terminal, text); err != nil {
		s.t.Fatal(err)
	}
}

// wait waits for text on the screen.
func (s *session) wait(text string) {
	s.t.Helper()
	s.screen.wait(s.t, text)
}

// end waits until the program has ended and returns the error of its Wait.
func (s *session) end() error { return s.cmd.Wait() }
