//go:build linux || freebsd

// Package exec starts programs in the state that process of the OCI runtime-spec describes: user,
// capabilities, resource limits, scheduling, standard streams, session. It starts a program as a
// child, or replaces this process by it.
//
// It forks by itself, because package syscall can set only a part of that state between fork and
// exec, and because limits and rights that are set before fork would be those of this process.
package exec

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/opencontainers/runtime-spec/specs-go"
	"golang.org/x/sys/unix"

	"github.com/krunbox/krunbox/pkg/oci"
	"github.com/krunbox/krunbox/pkg/op"
)

// Shell executes files whose format the kernel does not know, as in execvp(3).
const Shell = "/bin/sh"

// DefaultPath is where programs are searched if their environment has no PATH.
const DefaultPath = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"

// Spec is a program and the state in which it starts.
//
// A program that Start starts has the default disposition for all signals. One that Exec executes
// ignores the signals that this process ignores, execve(2). No signal is blocked.
type Spec struct {
	// Process holds the program, Args and Env, and its state: User, Rlimits and, on Linux,
	// Capabilities, NoNewPrivileges, OOMScoreAdj, Scheduler, IOPriority and
	// ExecCPUAffinity.Final. Other fields have no effect. A program name without a slash is
	// searched in the PATH of Env, as by execvp(3).
	Process specs.Process
	// SetUser applies Process.User. Otherwise the program keeps this process's IDs, groups and
	// umask.
	SetUser bool
	// DefaultRlimits are limits for resources that Process.Rlimits does not mention. RLIMIT_NOFILE
	// is lowered to the sysctl fs.nr_open. One that the kernel refuses is left out; the program does
	// not start without those of Process.Rlimits.
	DefaultRlimits []specs.POSIXRlimit
	// Path is the file to execute. If it is empty, Process.Args[0] is searched.
	Path string
	// NewSession starts a session for the program. Its controlling terminal is the first of the
	// program's standard streams that is a terminal; on FreeBSD only standard input counts.
	NewSession bool

	// The following are for Linux.

	// Foreground, in place of NewSession, starts a process group for a program that Start starts, and
	// puts it in the foreground of the first of the standard streams that is a terminal. It must be
	// that of this process's session, see KeepTerminal.
	Foreground bool
	// Streams are the descriptors in this process that become the program's standard input,
	// output and error. Each is above 2, or the stream's own number; 0 stands for the own number
	// too. A closed descriptor stands for /dev/null.
	Streams [3]int
	// Console is the path of the device, such as /dev/hvc0, that the program gets in place of
	// streams that are /dev/console. If it is empty, they stay.
	Console string
	// CloseOthers closes all descriptors but the standard streams.
	CloseOthers bool
	// Inherit are further descriptors, above 2, that the program gets under the same numbers.
	Inherit []int
	// PIDNamespace makes a program that Start starts process 1 of a PID namespace of its own, see
	// pid_namespaces(7). A proc file system of that namespace replaces the one on /proc, for this
	// process too, which finds no /proc/self there.
	PIDNamespace bool
	// TimerSlack, unless 0, is the program's timer slack, PR_SET_TIMERSLACK of prctl(2). Otherwise it
	// is that of the thread which starts the program.
	TimerSlack time.Duration
	// ProcMounts returns the points at and below /proc where something is mounted. PIDNamespace
	// needs it: what is mounted below /proc stays visible at the same place.
	ProcMounts func() ([]string, error)

	procMounts []string // result of ProcMounts
	workdir    string   // this process's, when ProcMounts was called
}

// Start is the operation that starts the program as a child and stores its process ID in PID. Its
// error is a *StartError.
type Start struct {
	Spec Spec
	PID  *int
}

func (s Start) Describe() op.Description { return s.Spec.describe("fork and execute") }

func (s Start) Do() (err error) {
	*s.PID, err = s.Spec.Start()
	return err
}

// Exec is the operation that replaces this process by the program. It returns only if that fails,
// with a *StartError.
type Exec struct{ Spec Spec }

func (e Exec) Describe() op.Description { return e.Spec.describe("execute") }

func (e Exec) Do() error { return e.Spec.Exec() }

// Workdir is the operation that changes to a working directory, process.cwd of the runtime-spec.
// It creates a missing directory. It fails for one outside the root, which a descriptor of this
// process may lead to by /proc/self/fd.
type Workdir struct{ Path string }

func (w Workdir) Describe() op.Description { return op.Describe("change directory", w.Path) }

func (w Workdir) Do() (err error) {
	err = unix.Chdir(w.Path)
	if err == unix.ENOENT {
		if err := os.MkdirAll(w.Path, 0o755); err != nil {
			return fmt.Errorf("create the working directory %s: %w", w.Path, err)
		}
		err = unix.Chdir(w.Path)
	}
	defer op.Wrap(&err, "change to the working directory %s", w.Path)
	if err != nil {
		return err
	}
	if isOutsideRoot() {
		return errors.New("it is not below the root")
	}
	return nil
}

func (s *Spec) describe(verb string) op.Description {
	p := &s.Process
	program := ""
	if len(p.Args) > 0 {
		program = p.Args[0]
	}
	details := []any{"args", p.Args, "env", p.Env}
	if s.SetUser {
		groups := []string{}
		for _, gid := range p.User.AdditionalGids {
			groups = append(groups, fmt.Sprint(gid))
		}
		details = append(details, "uid", p.User.UID, "gid", p.User.GID, "groups", groups)
		if p.User.Umask != nil {
			details = append(details, "umask", fmt.Sprintf("0%o", *p.User.Umask))
		}
	}
	details = append(details, "rlimits", formatRlimits(p.Rlimits),
		"wantedRlimits", op.If(s.DefaultRlimits != nil, formatRlimits(s.defaultRlimits())))
	if c := p.Capabilities; c != nil {
		details = append(details, "bounding", c.Bounding, "effective", c.Effective,
			"inheritable", c.Inheritable, "permitted", c.Permitted, "ambient", c.Ambient)
	}
	details = append(details, "noNewPrivileges", op.If(p.NoNewPrivileges, true),
		"oomScoreAdj", p.OOMScoreAdj)
	if a := p.ExecCPUAffinity; a != nil {
		details = append(details, "cpus", op.If(a.Final != "", a.Final))
	}
	if p.Scheduler != nil {
		details = append(details, "scheduler", oci.FormatScheduler(*p.Scheduler))
	}
	if p.IOPriority != nil {
		details = append(details, "ioPriority", oci.FormatIOPriority(*p.IOPriority))
	}
	details = append(details, "session", op.If(s.NewSession, "new"), "group", op.If(s.Foreground, "in the foreground"),
		"pidNamespace", op.If(s.PIDNamespace, "new, with its own /proc"))
	return op.Describe(verb, program, details...)
}

// defaultRlimits returns the DefaultRlimits for resources that Process.Rlimits does not mention.
func (s *Spec) defaultRlimits() []specs.POSIXRlimit {
	return slices.DeleteFunc(slices.Clone(s.DefaultRlimits), func(d specs.POSIXRlimit) bool {
		same := func(l specs.POSIXRlimit) bool { return l.Type == d.Type }
		return slices.ContainsFunc(s.Process.Rlimits, same)
	})
}

func formatRlimits(limits []specs.POSIXRlimit) []string {
	list := make([]string, len(limits))
	for i, l := range limits {
		list[i] = oci.FormatRlimit(l)
	}
	return list
}

// candidates returns the paths at which execvp(3) tries to execute a program: its name if that
// has a slash, else the name in each directory of PATH, or of DefaultPath if env has no PATH.
func candidates(name string, env []string) []string {
	if strings.Contains(name, "/") || name == "" {
		return []string{name}
	}
	path, ok := lookup(env, "PATH")
	if !ok {
		path = DefaultPath
	}
	var paths []string
	for dir := range strings.SplitSeq(path, ":") {
		if dir == "" {
			dir = "." // POSIX: an empty element is the current directory
		}
		paths = append(paths, dir+"/"+name)
	}
	return paths
}

// lookup returns the value of a variable in an environment, and whether it is set. The last entry
// counts.
func lookup(env []string, name string) (value string, ok bool) {
	for _, entry := range slices.Backward(env) {
		if value, ok := strings.CutPrefix(entry, name+"="); ok {
			return value, true
		}
	}
	return "", false
}
