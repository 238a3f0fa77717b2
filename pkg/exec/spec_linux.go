package exec

import (
	"slices"
	"strconv"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
	"github.com/krunbox/krunbox/pkg/rlimit"
)

// Spec is a program and the state it starts in; the fields follow process of the OCI runtime specification. Signal
// dispositions that this process set are back at their default, and no signal is blocked.
type Spec struct {
	Args []string // Args[0] is looked up like execvp(3) does, in the PATH of Env
	Env  []string
	// Path, unless empty, is the program file, in the place of a look-up.
	Path string
	// User is nil for a program that runs as this process does.
	User *User
	// Capabilities are set as they are, capabilities(7). Nil: those of this process for root, none for others.
	Capabilities *oci.Capabilities
	// NoNewPrivileges sets no_new_privs, prctl(2).
	NoNewPrivileges bool
	// OOMScoreAdj is written to oom_score_adj, proc(5): -1000 to 1000. Nil: that of this process.
	OOMScoreAdj *int
	// Scheduler, IOPriority and CPUs say when and where the program runs. Nil, or none: as this process.
	Scheduler  *oci.Scheduler
	IOPriority *oci.IOPriority
	CPUs       oci.CPUs
	// Limits are set as they are; the program does not start without them.
	Limits []rlimit.Limit
	// Wanted are limits that are set where Limits has none for the resource, and where the kernel permits it.
	Wanted []rlimit.Limit
	// Streams are this process's descriptors for standard input, output and error. Each is its own number (0, 1, 2) or
	// above 2. One that is closed stands for /dev/null.
	Streams [3]int
	// Console, unless empty, is the path of the device, such as /dev/hvc0, that streams which are /dev/console lead to.
	Console string
	// NewSession gives the program a session of its own, whose controlling terminal is the first of its standard streams
	// that is a terminal, if any.
	NewSession bool
	// CloseOthers closes all descriptors but the standard streams.
	CloseOthers bool
}

// User is an identity: process.user of the OCI runtime specification.
type User struct {
	UID, GID       uint32
	AdditionalGIDs []uint32
	Umask          *uint32 // permission bits; nil for this process's
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
		d.Details = append(d.Details, op.A("uid", utoa(s.User.UID)), op.A("gid", utoa(s.User.GID)))
		var groups []string
		for _, g := range s.User.AdditionalGIDs {
			groups = append(groups, utoa(g))
		}
		d.Details = append(d.Details, op.L("groups", groups))
		if s.User.Umask != nil {
			d.Details = append(d.Details, op.A("umask", "0"+strconv.FormatUint(uint64(*s.User.Umask), 8)))
		}
	}
	var limits []string
	for _, l := range s.Limits {
		limits = append(limits, l.String())
	}
	var wanted []string
	for _, l := range s.wanted() {
		wanted = append(wanted, l.String())
	}
	d.Details = append(d.Details, op.L("rlimits", limits), op.L("wantedRlimits", wanted))
	if c := s.Capabilities; c != nil {
		d.Details = append(d.Details, op.L("bounding", c.Bounding.Names()), op.L("effective", c.Effective.Names()),
			op.L("inheritable", c.Inheritable.Names()), op.L("permitted", c.Permitted.Names()),
			op.L("ambient", c.Ambient.Names()))
	}
	if s.NoNewPrivileges {
		d.Details = append(d.Details, op.A("noNewPrivileges", "true"))
	}
	if s.OOMScoreAdj != nil {
		d.Details = append(d.Details, op.A("oomScoreAdj", strconv.Itoa(*s.OOMScoreAdj)))
	}
	if s.CPUs != (oci.CPUs{}) {
		d.Details = append(d.Details, op.A("cpus", s.CPUs.String()))
	}
	if s.Scheduler != nil {
		d.Details = append(d.Details, op.A("scheduler", s.Scheduler.String()))
	}
	if s.IOPriority != nil {
		d.Details = append(d.Details, op.A("ioPriority", s.IOPriority.String()))
	}
	if s.NewSession {
		d.Details = append(d.Details, op.A("session", "new"))
	}
	return d
}

// wanted are the Wanted limits that Limits has no word on.
func (s *Spec) wanted() []rlimit.Limit {
	return slices.DeleteFunc(slices.Clone(s.Wanted), func(w rlimit.Limit) bool {
		return slices.ContainsFunc(s.Limits, func(l rlimit.Limit) bool { return l.Resource == w.Resource })
	})
}

func utoa(n uint32) string { return strconv.FormatUint(uint64(n), 10) }
