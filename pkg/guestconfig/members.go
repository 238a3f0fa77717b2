package guestconfig

import (
	"math"

	"github.com/krunbox/krunbox/pkg/jsonio"
	"github.com/opencontainers/runtime-spec/specs-go"
)

// maxID is the greatest user or group ID: setresuid(2) takes the next number for "unchanged".
const maxID = math.MaxUint32 - 1

func (r *reader) document(doc *document) error {
	return r.Object(func(name string) error {
		switch name {
		case "args":
			return words(r, &doc.Args)
		case "env":
			return words(r, &doc.Env)
		case "cwd":
			return word(r, &doc.Cwd)
		case "config": // the configuration of an image has the members of image in a member
			return r.image(&doc.Config)
		case "Config": // "docker inspect" spells it so
			return r.image(&doc.Inspect)
		case "process":
			return r.process(&doc.Process)
		case "hostname":
			return word(r, &doc.Hostname)
		case "Hostname":
			return word(r, &doc.ImageHostname)
		case "domainname":
			return word(r, &doc.Domainname)
		case "mounts":
			return list(r, &doc.Mounts, (*reader).mount)
		case "linux":
			return r.linux(&doc.Linux)
		case "root":
			return r.root(doc)
		}
		return r.imageMember(name, &doc.Image)
	})
}

func (r *reader) root(doc *document) error {
	return r.Object(func(name string) error {
		if name == "readonly" {
			return r.Bool(&doc.RootReadonly)
		}
		return r.Skip()
	})
}

func (r *reader) image(to *image) error {
	return r.Object(func(name string) error { return r.imageMember(name, to) })
}

// imageMember reads or skips the member of an object that may have those of an image.
func (r *reader) imageMember(name string, to *image) error {
	switch name {
	case "Cmd":
		return words(r, &to.Cmd)
	case "Entrypoint":
		return words(r, &to.Entrypoint)
	case "Env":
		return words(r, &to.Env)
	case "Cwd":
		return word(r, &to.Cwd)
	case "WorkingDir":
		return word(r, &to.WorkingDir)
	case "User":
		return word(r, &to.User)
	case "StopSignal":
		return word(r, &to.StopSignal)
	}
	return r.Skip()
}

func (r *reader) process(to *process) error {
	return r.Object(func(name string) error {
		switch name {
		case "args":
			return words(r, &to.Args)
		case "env":
			return words(r, &to.Env)
		case "cwd":
			return word(r, &to.Cwd)
		case "user":
			return r.user(allocate(&to.User))
		case "terminal":
			return r.Bool(&to.Terminal)
		case "consoleSize":
			return r.consoleSize(allocate(&to.ConsoleSize))
		case "capabilities":
			return r.capabilities(allocate(&to.Capabilities))
		case "rlimits":
			return list(r, &to.Rlimits, (*reader).rlimit)
		case "noNewPrivileges":
			return r.Bool(&to.NoNewPrivileges)
		case "oomScoreAdj": // proc_pid_oom_score_adj(5)
			return jsonio.Integer(r.Reader, allocate(&to.OOMScoreAdj), -1000, 1000)
		case "scheduler":
			return r.scheduler(allocate(&to.Scheduler))
		case "ioPriority":
			return r.ioPriority(allocate(&to.IOPriority))
		case "execCPUAffinity":
			return r.cpuAffinity(allocate(&to.ExecCPUAffinity))
		case "apparmorProfile", "selinuxLabel":
			return r.skipUnsupported()
		}
		return r.imageMember(name, &to.Image)
	})
}

func (r *reader) user(to *specs.User) error {
	id := func(r *reader, to *uint32) error { return jsonio.Integer(r.Reader, to, 0, maxID) }
	return r.Object(func(name string) error {
		switch name {
		case "uid":
			return id(r, &to.UID)
		case "gid":
			return id(r, &to.GID)
		case "umask":
			return jsonio.Integer(r.Reader, allocate(&to.Umask), 0, math.MaxUint32)
		case "additionalGids":
			return list(r, &to.AdditionalGids, id)
		case "username":
			return word(r, &to.Username)
		}
		return r.Skip()
	})
}

func (r *reader) consoleSize(to *specs.Box) error {
	return r.Object(func(name string) error { // struct winsize, TIOCSWINSZ(2const)
		switch name {
		case "height":
			return jsonio.Integer(r.Reader, &to.Height, 0, math.MaxUint16)
		case "width":
			return jsonio.Integer(r.Reader, &to.Width, 0, math.MaxUint16)
		}
		return r.Skip()
	})
}

func (r *reader) capabilities(to *specs.LinuxCapabilities) error {
	return r.Object(func(name string) error {
		switch name {
		case "bounding":
			return words(r, &to.Bounding)
		case "effective":
			return words(r, &to.Effective)
		case "inheritable":
			return words(r, &to.Inheritable)
		case "permitted":
			return words(r, &to.Permitted)
		case "ambient":
			return words(r, &to.Ambient)
		}
		return r.Skip()
	})
}

func (r *reader) rlimit(to *specs.POSIXRlimit) error {
	return r.Object(func(name string) error {
		switch name {
		case "type":
			return word(r, &to.Type)
		case "hard":
			return jsonio.Integer(r.Reader, &to.Hard, 0, math.MaxUint64)
		case "soft":
			return jsonio.Integer(r.Reader, &to.Soft, 0, math.MaxUint64)
		}
		return r.Skip()
	})
}

func (r *reader) scheduler(to *specs.Scheduler) error {
	return r.Object(func(name string) error {
		switch name {
		case "policy":
			return word(r, &to.Policy)
		case "nice":
			return jsonio.Integer(r.Reader, &to.Nice, math.MinInt32, math.MaxInt32)
		case "priority":
			return jsonio.Integer(r.Reader, &to.Priority, math.MinInt32, math.MaxInt32)
		case "flags":
			return words(r, &to.Flags)
		case "runtime":
			return jsonio.Integer(r.Reader, &to.Runtime, 0, math.MaxUint64)
		case "deadline":
			return jsonio.Integer(r.Reader, &to.Deadline, 0, math.MaxUint64)
		case "period":
			return jsonio.Integer(r.Reader, &to.Period, 0, math.MaxUint64)
		}
		return r.Skip()
	})
}

func (r *reader) ioPriority(to *specs.LinuxIOPriority) error {
	return r.Object(func(name string) error {
		switch name {
		case "class":
			return word(r, &to.Class)
		case "priority": // ioprio_set(2)
			return jsonio.Integer(r.Reader, &to.Priority, 0, 7)
		}
		return r.Skip()
	})
}

func (r *reader) cpuAffinity(to *specs.CPUAffinity) error {
	return r.Object(func(name string) error {
		switch name {
		case "initial":
			return word(r, &to.Initial)
		case "final":
			return word(r, &to.Final)
		}
		return r.Skip()
	})
}

func (r *reader) mount(to *specs.Mount) error {
	return r.Object(func(name string) error {
		switch name {
		case "destination":
			return word(r, &to.Destination)
		case "type":
			return word(r, &to.Type)
		case "source":
			return word(r, &to.Source)
		case "options":
			return words(r, &to.Options)
		case "uidMappings", "gidMappings":
			return r.skipUnsupported()
		}
		return r.Skip()
	})
}

func (r *reader) linux(to *linux) error {
	return r.Object(func(name string) error {
		switch name {
		case "sysctl":
			return r.sysctl(&to.Sysctl)
		case "devices":
			return list(r, &to.Devices, (*reader).device)
		case "namespaces":
			return list(r, &to.Namespaces, (*reader).namespace)
		case "rootfsPropagation":
			return word(r, &to.RootfsPropagation)
		case "maskedPaths":
			return words(r, &to.MaskedPaths)
		case "readonlyPaths":
			return words(r, &to.ReadonlyPaths)
		case "memoryPolicy", "personality", "seccomp", "timeOffsets":
			return r.skipUnsupported()
		}
		return r.Skip()
	})
}

func (r *reader) sysctl(to *map[string]string) error {
	return r.Object(func(name string) error {
		if err := r.checkNUL(name); err != nil {
			return err
		}
		if err := r.count(); err != nil {
			return err
		}
		var value string
		err := word(r, &value)
		if *to == nil {
			*to = map[string]string{}
		}
		(*to)[name] = value
		return err
	})
}

func (r *reader) device(to *specs.LinuxDevice) error {
	return r.Object(func(name string) error {
		switch name {
		case "path":
			return word(r, &to.Path)
		case "type":
			return word(r, &to.Type)
		case "major": // makedev(3)
			return jsonio.Integer(r.Reader, &to.Major, 0, 1<<12-1)
		case "minor":
			return jsonio.Integer(r.Reader, &to.Minor, 0, 1<<20-1)
		case "fileMode":
			return jsonio.Integer(r.Reader, allocate(&to.FileMode), 0, math.MaxUint32)
		case "uid":
			return jsonio.Integer(r.Reader, allocate(&to.UID), 0, maxID)
		case "gid":
			return jsonio.Integer(r.Reader, allocate(&to.GID), 0, maxID)
		}
		return r.Skip()
	})
}

func (r *reader) namespace(to *specs.LinuxNamespace) error {
	return r.Object(func(name string) error {
		switch name {
		case "type":
			return word(r, &to.Type)
		case "path":
			return word(r, &to.Path)
		}
		return r.Skip()
	})
}
