package exec

import (
	"fmt"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
)

// Session is the operation that makes this process the leader of a session, setsid(2), and sets
// the session's login name, setlogin(2), which the sessions that it starts inherit. A process
// that leads a session already keeps it.
type Session struct{ Login string }

func (s Session) Describe() op.Description {
	return op.Describe("start session", s.Login)
}

func (s Session) Do() error {
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return fmt.Errorf("start a session: %w", err)
	}
	if err := unix.Setlogin(s.Login); err != nil {
		return fmt.Errorf("set the login name %s: %w", s.Login, err)
	}
	return nil
}
