package stdio

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// consoleSystem has the files that are in devices, and refuses a call whose beginning is in refuse.
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
	all := []string{"/dev/console", "/dev/null"}
	for _, c := range []struct {
		name    string
		devices []string
		refuse  string
		want    [3]string
		err     error
	}{
		{"console", all, "", [3]string{"/dev/console", "/dev/console", "/dev/console"}, nil},
		{"nobody has it open", all, "revoke", [3]string{"/dev/console", "/dev/console", "/dev/console"}, nil},
		{"no console", all[1:], "", [3]string{"/dev/null", "/init.log", "/init.log"}, unix.ENOENT},
		{"stays nonblocking", all, "block", [3]string{"/dev/null", "/init.log", "/init.log"}, unix.EIO},
		{"read-only root", all[1:], "open /init.log", [3]string{"/dev/null", "/dev/null", "/dev/null"}, unix.ENOENT},
		{"no devices", nil, "", [3]string{"old", "old", "old"}, unix.ENOENT},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := &consoleSystem{devices: c.devices, refuse: c.refuse, next: 3, fds: map[int]string{0: "old", 1: "old", 2: "old"}}
			err := Console{Path: "/dev/console", Log: "/init.log", System: s}.Do()
			if !errors.Is(err, c.err) || err != nil && !strings.HasPrefix(err.Error(), "open /dev/console: ") {
				t.Errorf("Do() = %v, want %v", err, c.err)
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
