package exec

import (
	"fmt"
	"strconv"

	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// Spec is a program and the state it starts in; the fields follow process of the OCI runtime specification. Its standard
// streams are those of this process, its signal dispositions are the default ones, and no signal is blocked.
type Spec struct {
	Args []string // Args[0] is looked up like execvp(3) does, in the PATH of Env
	Env  []string
	// User is nil for a program that runs as this process does.
	User *User
	// Limits are set as they are; the program does not start without them.
	Limits []rlimit.Limit
	// NewSession gives the program a session of its own, whose controlling terminal is its standard input if that is a
	// terminal which is not another session's.
	NewSession bool
}

// User is an identity: process.user of the OCI runtime specification.
type User struct {
	UID, GID       uint32
	AdditionalGIDs []uint32
	Umask          *uint32 // permission bits; nil for this process's
}

// Session is the operation that starts a session of this process's own, and names its user, setlogin(2), for this session and
// those that are started from it.
type Session struct{ Login string }

func (s Session) Describe() op.Description {
	return op.Describe("start session", s.Login)
}

// Do implements op.Op. That this process leads a session already is fine.
func (s Session) Do() error {
	if _, err := unix.Setsid(); err != nil && err != unix.EPERM {
		return fmt.Errorf("start a session: %w", err)
	}
	if err := unix.Setlogin(s.Login); err != nil {
		return fmt.Errorf("set the login name %s: %w", s.Login, err)
	}
	return nil
}

// Start is the operation that starts the program as a child and stores its process ID in PID.
type Start struct {
	Spec Spec
	PID  *int
}

func (s Start) Describe() op.Description { return s.Spec.describe("fork and execute") }

// Do implements op.Op. An error is a *StartError.
func (s Start) Do() (err error) {
	*s.PID, err = s.Spec.Start()
	return err
}

// Exec is the operation that replaces this process by the program.
type Exec struct{ Spec Spec }

func (e Exec) Describe() op.Description { return e.Spec.describe("execute") }

// Do implements op.Op. It returns only with an error, a *StartError.
func (e Exec) Do() error { return e.Spec.Exec() }

func (s *Spec) describe(verb string) op.Description {
	d := op.Describe(verb, "", "args", s.Args, "env", s.Env)
	if len(s.Args) > 0 {
		d.Object = s.Args[0]
	}
	if s.User != nil {
		var groups []string
		for _, g := range s.User.AdditionalGIDs {
			groups = append(groups, utoa(g))
		}
		d.Details = append(d.Details, op.A("uid", utoa(s.User.UID)), op.A("gid", utoa(s.User.GID)), op.L("groups", groups))
		if s.User.Umask != nil {
			d.Details = append(d.Details, op.A("umask", "0"+strconv.FormatUint(uint64(*s.User.Umask), 8)))
		}
	}
	var limits []string
	for _, l := range s.Limits {
		limits = append(limits, l.String())
	}
	d.Details = append(d.Details, op.L("rlimits", limits))
	if s.NewSession {
		d.Details = append(d.Details, op.A("session", "new"))
	}
	return d
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
