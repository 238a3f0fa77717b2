// Package guest decides what a guest does if several sources specify it: the host's parameters, the
// configuration, the files of the image, and a lease. Rules lists the decisions. The package reads no
// files and changes nothing.
package guest

import (
	"cmp"
	"errors"
	"slices"

	"github.com/opencontainers/runtime-spec/specs-go"

	"github.com/krunbox/krunbox/pkg/bootparam"
	"github.com/krunbox/krunbox/pkg/exec"
	"github.com/krunbox/krunbox/pkg/guestconfig"
	"github.com/krunbox/krunbox/pkg/oci"
)

// Sources are the inputs of Resolve.
type Sources struct {
	Params bootparam.Params
	Config guestconfig.Config
	// HasConfig says that there is a configuration.
	HasConfig bool
	// Passwd and Group are the contents of the image's /etc/passwd and /etc/group, nil if it lacks
	// them. Group is used only if Config.User is set.
	Passwd, Group []byte
	// LeaseHostname is the host name that a lease brings, "" if none does.
	LeaseHostname string
}

// Settings are the results of Resolve.
type Settings struct {
	// Process is what the workload starts as. Its Cwd is "" if the workload starts in /.
	Process specs.Process
	// SetUser says that Process.User is to be set. Otherwise the workload runs as init does.
	SetUser bool
	// DefaultRlimits are limits for resources that Process.Rlimits does not limit.
	DefaultRlimits []specs.POSIXRlimit
	// Hostname is the name of the machine.
	Hostname string
	// PIDNamespace says that the workload is process 1 of a PID namespace of its own.
	PIDNamespace bool
}

// defaultNoFile is the limit on open files: more than the kernel's 1024, which servers exceed, but
// not so many that programs which close all possible descriptors take seconds for it.
var defaultNoFile = specs.POSIXRlimit{Type: "RLIMIT_NOFILE", Soft: 65536, Hard: 1 << 20}

// Resolve returns the settings of a guest. It fails for a malformed KRUN_RLIMITS, for a user or group that is
// not in the image, and if there is a configuration but no source names a program. Without a
// configuration the program is a shell.
func Resolve(s Sources) (Settings, error) {
	p, c := &s.Params, &s.Config
	settings := Settings{
		Process:      c.Process,
		Hostname:     cmp.Or(c.Hostname, p.Hostname, s.LeaseHostname, "localhost"),
		PIDNamespace: s.pidNamespace(),
	}
	if p.MachineDefaults {
		settings.DefaultRlimits = []specs.POSIXRlimit{defaultNoFile}
	}
	process := &settings.Process
	process.Args = Argv(p.Init, c.Process.Args, p.Args)
	process.Cwd = cmp.Or(p.Workdir, c.Process.Cwd)
	var err error
	if process.Rlimits, err = s.rlimits(); err != nil {
		return Settings{}, err
	}
	if process.User, settings.SetUser, err = s.user(); err != nil {
		return Settings{}, err
	}
	process.Env = s.env(process.User.UID)
	if process.Args == nil {
		if s.HasConfig {
			return Settings{}, errNoProgram
		}
		process.Args = []string{exec.Shell}
	}
	return settings, nil
}

var errNoProgram = errors.New("no program to run: the configuration has neither args nor Cmd or " +
	"Entrypoint, and the host names none")

// rlimits returns the host's limits and, for other resources, the configuration's.
func (s *Sources) rlimits() ([]specs.POSIXRlimit, error) {
	given, err := oci.ParseRlimits(s.Params.Rlimits)
	if err != nil {
		return nil, err
	}
	var limits []specs.POSIXRlimit
	for _, l := range s.Config.Process.Rlimits {
		same := func(other specs.POSIXRlimit) bool { return other.Type == l.Type }
		if !slices.ContainsFunc(given, same) {
			limits = append(limits, l)
		}
	}
	return append(limits, given...), nil
}

// user returns the identity of the workload, and whether the configuration has one.
func (s *Sources) user() (user specs.User, ok bool, err error) {
	c := &s.Config
	user = c.Process.User
	if c.User == "" {
		return user, c.HasUser, nil
	}
	found, err := LookupUser(s.Passwd, s.Group, c.User)
	if err != nil {
		return user, false, err
	}
	user.UID, user.GID = found.UID, found.GID
	user.AdditionalGids = slices.Concat(found.AdditionalGids, user.AdditionalGids)
	return user, true, nil
}

// env returns the environment of the workload. The kernel sets HOME to / in every guest, which
// counts as not set.
func (s *Sources) env(uid uint32) []string {
	env := NewEnv(s.Params.Environ)
	if home, _ := env.Get("HOME"); home == "/" {
		env.Unset("HOME")
	}
	env.Merge(s.Config.Process.Env)
	if s.Params.Home != "" {
		env.Set("HOME", s.Params.Home)
	}
	if s.Params.Term != "" {
		env.Set("TERM", s.Params.Term)
	}
	if _, ok := env.Get("HOME"); !ok {
		env.Set("HOME", cmp.Or(HomeOf(s.Passwd, uid), "/"))
	}
	// Programs search for other programs, and some for their own file, in PATH.
	if _, ok := env.Get("PATH"); !ok {
		env.Set("PATH", exec.DefaultPath)
	}
	return env.List()
}

// pidNamespace reports whether the workload gets a PID namespace of its own. As PID 1 of the
// machine it needs none. A namespace with a path is one of the host, which a guest can't join.
func (s *Sources) pidNamespace() bool {
	if s.Params.InitPID1 {
		return false
	}
	if s.Params.PIDNamespace != nil {
		return *s.Params.PIDNamespace
	}
	return slices.ContainsFunc(s.Config.Linux.Namespaces, func(n specs.LinuxNamespace) bool {
		return n.Type == specs.PIDNamespace && n.Path == ""
	})
}
