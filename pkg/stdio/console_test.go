package stdio

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// consoleSystem is a system with the files in devices. It fails calls that begin with refuse.
type consoleSystem struct {
	devices []string
	refuse  string

	fds   map[int]string // open descriptors
	next  int
	calls []string
}

func (s *consoleSystem) call(parts ...string) error {
	call := strings.Join(parts, " ")
	s.calls = append(s.calls, call)
	if s.refuse != "" && strings.HasPrefix(call, s.refuse) {
		return unix.EIO
	}
	return nil
}

func (s *consoleSystem) Revoke(path string) error { return s.call("revoke", path) }

func (s *consoleSystem) Open(path string, flags int, mode uint32) (int, error) {
	if err := s.call("open", path); err != nil {
		return -1, err
	}
	if !slices.Contains(s.devices, path) && flags&unix.O_CREAT == 0 {
		return -1, unix.ENOENT
	}
	wantFlags := map[string]int{
		"/dev/console": unix.O_RDWR | unix.O_NONBLOCK,
		"/dev/null":    unix.O_RDWR,
		"/init.log":    unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT,
	}
	if flags != wantFlags[path] || flags&unix.O_CREAT != 0 && mode != 0o644 {
		return -1, unix.EINVAL
	}
	s.fds[s.next] = path
	s.next++
	return s.next - 1, nil
}

func (s *consoleSystem) SetBlocking(fd int) error { return s.call("block", s.fds[fd]) }

func (s *consoleSystem) Dup2(fd, to int) error {
	s.fds[to] = s.fds[fd]
	return s.call("dup2", s.fds[fd])
}

func (s *consoleSystem) Close(fd int) error {
	delete(s.fds, fd)
	return nil
}

func TestConsole(t *testing.T) {
	const console, null, log = "/dev/console", "/dev/null", "/init.log"
	all := []string{console, null}
	for _, c := range []struct {
		name    string
		devices []string
		refuse  string
		want    [3]string
		err     error
	}{
		{"console", all, "", [3]string{console, console, console}, nil},
		{"console not open elsewhere", all, "revoke", [3]string{console, console, console}, nil},
		{"no console", all[1:], "", [3]string{null, log, log}, unix.ENOENT},
		{"console stays nonblocking", all, "block", [3]string{null, log, log}, unix.EIO},
		{"read-only root", all[1:], "open " + log, [3]string{null, null, null}, unix.ENOENT},
		{"no devices", nil, "", [3]string{"old", "old", "old"}, unix.ENOENT},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &consoleSystem{devices: c.devices, refuse: c.refuse, next: 3,
				fds: map[int]string{0: "old", 1: "old", 2: "old"}}
			err := Console{Path: console, Log: log, System: s}.Do()
			if !errors.Is(err, c.err) {
				t.Errorf("Do() = %v, want %v", err, c.err)
			}
			if err != nil && !strings.HasPrefix(err.Error(), "open /dev/console: ") {
				t.Errorf("Do() = %v, want the path in it", err)
			}
			if got := [3]string{s.fds[0], s.fds[1], s.fds[2]}; got != c.want {
				t.Errorf("standard streams lead to %q, want %q", got, c.want)
			}
			if len(s.fds) != 3 {
				t.Errorf("descriptors left open: %v", s.fds)
			}
			if s.calls[0] != "revoke /dev/console" || s.calls[1] != "open /dev/console" {
				t.Errorf("calls are %q, want revoke and open first", s.calls)
			}
		})
	}
}
